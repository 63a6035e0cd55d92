"""Thing models as EnOS's own API tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from plantroom_cloud.publishing.enos.errors import NO_MODEL
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_shared.errors import Rejected

_PATH: Final = "/model-service/v2.1/thing-models"
_PAGE: Final = 20
"""Models of a page: one of them may have thousands of points."""
_MAX_PAGES: Final = 200
_SCOPE: Final = {"own": "0", "all": "1"}


async def fetch_models(gateway: Gateway, wanted: Sequence[str] = ()) -> list[Any]:
    """Return the documents of thing models, as EnOS writes them.

    Args:
        gateway: the way to EnOS.
        wanted: ids, public models as well; by default every model of the organisation's own.

    Raises:
        Unavailable: later.
        Rejected: EnOS refuses the question.
    """
    if wanted:
        found = [await _get(gateway, model_id) for model_id in wanted]
        return [document for document in found if document is not None]
    documents: list[Any] = []
    for page in range(1, _MAX_PAGES + 1):
        body = {"expression": "", "pagination": {"pageNo": page, "pageSize": _PAGE}}
        query = {"action": "search", "scope": _SCOPE["own"]}
        data = (await gateway.call("POST", _PATH, query, body)).get("data")
        rows = data if isinstance(data, list) else []
        documents += rows
        if len(rows) < _PAGE:
            break
    return documents


async def _get(gateway: Gateway, model_id: str) -> Any:
    """Return one model; None where EnOS has none of that name."""
    query = {"action": "get", "modelId": model_id, "scope": _SCOPE["all"]}
    try:
        return (await gateway.call("GET", _PATH, query)).get("data")
    except Rejected as error:
        if error.reason in (NO_MODEL, "99404"):
            return None
        raise
