"""What is done with messages of gateways, told by the ids that they are followed by."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from plantroom_cloud.kit.tracing import spans
from plantroom_shared.log import bound

log = logging.getLogger(__name__)
_TOLD = 16  # ids in a line of the log; the rest is a number


@contextmanager
def followed(what: str, traces: Sequence[str], **about: str | int) -> Iterator[None]:
    """Tell the log (with --verbose) and the collector of traces what the block does with messages.

    What the block logs bears the ids as well.
    """
    if not traces:
        yield
        return
    began, to = time.time_ns(), spans()
    told = ",".join(traces[:_TOLD]) + (f",+{len(traces) - _TOLD}" if len(traces) > _TOLD else "")
    failed = ""
    with bound(trace_ids=told):
        try:
            yield
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            if log.isEnabledFor(logging.DEBUG):
                extra = {**about, "took_ms": (time.time_ns() - began) // 1_000_000}
                log.debug(what, extra={**extra, "failed": failed} if failed else extra)
            if to.on:
                to.record(what, traces, began, about, failed)
