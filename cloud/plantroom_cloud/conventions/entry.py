"""What every request under /v1 passes once it is known who asks: how often, and whether it was done.

One dependency for both: each costs time in every request.
"""

from __future__ import annotations

from typing import Final, cast

from fastapi import Depends, Request

from plantroom_cloud.conventions import once
from plantroom_cloud.conventions.limiting import Limiter
from plantroom_cloud.identity.access import scope_of, who_asks


async def _enter(request: Request) -> None:
    who = who_asks(request)
    limiter = cast("Limiter", request.app.state.limiter)
    await limiter.by_name(request.scope, f"{who.kind}:{who.id}", who.company_id)
    if request.method in once.CHANGING:
        await once.claim(request, scope_of(request), who)


ENTRY: Final = Depends(_enter)
"""For a router: whoever asks takes tokens, and what is changed is changed once under a key."""
