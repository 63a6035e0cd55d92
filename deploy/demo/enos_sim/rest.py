"""The API gateway: token service, products, devices, thing models, time series."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from demo.enos_sim.policies import Policies
from demo.enos_sim.replies import answer, check_signed, json_body, refusal
from demo.enos_sim.search import device_shown, matches, page, product_shown
from demo.enos_sim.security import Tokens
from demo.enos_sim.trees import Trees
from demo.enos_sim.world import Device, Refused, World

Handler = Callable[[dict[str, str], dict[str, Any]], Any]
_VERSIONS = ("v2.0", "v2.1", "v2.4")


class Rest:
    """The routes of the API gateway."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self.world, self.tokens = world, tokens
        self.trees, self.policies = Trees(world), Policies(world)
        self.router = APIRouter()
        for action in ("get", "refresh"):
            path = f"/apim-token-service/v2.0/token/{action}"
            self.router.add_api_route(path, self._token(action), methods=["POST"])
        for version in _VERSIONS:
            path = f"/connect-service/{version}"
            self._route(f"{path}/products", self._product_actions())
            self._route(f"{path}/devices", self._device_actions(version))
        self._route("/model-service/v2.1/thing-models", self._model_actions())
        for path, handler in (("latest", self._latest), ("raw", self._raw)):
            self._route(f"/tsdb-service/v2.1/{path}", {"": handler})
        self._route_trees()
        policies, one = self.policies, "/tsdb-policy/v2.0/policies/{policy}"
        self._route("/tsdb-policy/v2.0/policies", {"": policies.get_points}, ("GET",))
        self._route(one, {"": policies.get}, ("GET",))
        self._route(one, {"": policies.save}, ("POST",))

    def _route_trees(self) -> None:
        trees, path = self.trees, "/asset-tree-service/v2.1"
        self._route(
            f"{path}/asset-trees", {"create": trees.create, "search": trees.search}, ("POST",)
        )
        nodes = {"associateAsset": trees.associate, "move": trees.move, "delete": trees.delete}
        self._route(f"{path}/asset-nodes", nodes, ("POST",))
        self._route(f"{path}/asset-paths", {"search": trees.paths}, ("POST",))

    def _token(self, action: str) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def handle(request: Request) -> JSONResponse:
            self.world.counts["token_requests"] += 1
            try:
                data = getattr(self.tokens, action)(await json_body(request))
            except Refused as error:
                self.world.counts["refused"] += 1
                return _token_answer(None, status=error.code, msg=str(error))
            return _token_answer(data, status=0, msg="SUCCESS")

        return handle

    def _route(
        self,
        path: str,
        actions: Mapping[str, Handler],
        methods: Sequence[str] = ("GET", "POST"),
    ) -> None:
        async def handle(request: Request) -> JSONResponse:
            self.world.counts["requests"] += 1
            try:
                query = await check_signed(self.world, self.tokens, request)
            except Refused as error:
                return refusal(self.world, error, status=401)
            try:
                handler = actions.get(query.get("action", ""), _no_action)
                result = handler(query | request.path_params, await json_body(request))
            except Refused as error:
                return refusal(self.world, error)
            return result if isinstance(result, JSONResponse) else answer(result)

        self.router.add_api_route(path, handle, methods=list(methods))

    # ------------------------------------------------------------ products

    def _product_actions(self) -> dict[str, Handler]:
        return {
            "create": lambda _query, body: self.world.add_product(body).key,
            "get": self._get_product,
            "search": self._search_products,
            "delete": self._delete_product,
        }

    def _get_product(self, query: dict[str, str], _body: dict[str, Any]) -> Any:
        product = self.world.products.get(query.get("productKey", ""))
        if product is None:
            raise Refused(11611, "product not found")
        return product_shown(product, secret=True)

    def _delete_product(self, query: dict[str, str], _body: dict[str, Any]) -> None:
        key = query.get("productKey", "")
        if any(device.product.key == key for device in self.world.devices.values()):
            raise Refused(11619, "the product has devices")
        if self.world.products.pop(key, None) is None:
            raise Refused(11611, "product not found")

    def delete_model(self, model_id: str) -> None:
        """Delete a thing model as a person does in the console: with all that follows it."""
        self.world.hidden_models.add(model_id)
        devices = [d for d in self.world.devices.values() if d.product.model_id == model_id]
        for device in devices:
            self._delete_device({"assetId": device.asset_id}, {})
        products = [p.key for p in self.world.products.values() if p.model_id == model_id]
        for key in products:
            del self.world.products[key]

    def _search_products(self, _query: dict[str, str], body: dict[str, Any]) -> Any:
        rows = [product_shown(product, secret=False) for product in self.world.products.values()]
        return self._searched(rows, body)

    def _searched(self, rows: list[dict[str, Any]], body: dict[str, Any]) -> JSONResponse:
        expression = str(body.get("expression") or "")
        matches(expression, {})  # nonsense is refused also where there is nothing to search
        found = [row for row in rows if matches(expression, row)]
        shown, pagination = page(found, body, self.world.limits.page)
        return answer(shown, pagination=pagination)

    # ------------------------------------------------------------ devices

    def _device_actions(self, version: str) -> dict[str, Handler]:
        if version not in self.world.versions:
            return {"batchCreate": _not_found}
        secret = version != "v2.4"
        return {
            "create": lambda _query, body: _created(self.world.add_device(body), secret=secret),
            "batchCreate": lambda _query, body: self._batch(body, secret=secret),
            "get": lambda query, _body: device_shown(self._device(query), secret=secret),
            "search": self._search_devices,
            "update": self._update_device,
            "delete": self._delete_device,
        }

    def _device(self, query: dict[str, str]) -> Device:
        try:
            return self.world.find(dict(query))
        except Refused as error:
            raise Refused(99404, "device not found") from error

    def _batch(self, body: dict[str, Any], *, secret: bool) -> JSONResponse:
        rows = body.get("deviceList")
        if not isinstance(rows, list) or not 1 <= len(rows) <= self.world.limits.batch:
            raise Refused(11858, "deviceList is empty or too long")
        results: list[dict[str, Any]] = []
        for row in rows:
            try:
                created = _created(self.world.add_device(row), secret=secret)
            except Refused as error:
                results.append({"code": error.code, "msg": str(error), "data": None})
            else:
                results.append({"code": 0, "msg": "OK", "data": created})
        done = sum(result["code"] == 0 for result in results)
        return answer(results, successSize=done, totalSize=len(results))

    def _search_devices(self, _query: dict[str, str], body: dict[str, Any]) -> Any:
        newest_first = reversed(self.world.devices.values())
        return self._searched([device_shown(d, secret=False) for d in newest_first], body)

    def _update_device(self, query: dict[str, str], body: dict[str, Any]) -> Any:
        device = self._device(query)
        device.name = body.get("deviceName", device.name)
        device.timezone = body.get("timezone", device.timezone)
        device.body |= body
        return None

    def _delete_device(self, query: dict[str, str], _body: dict[str, Any]) -> Any:
        asset_id = self._device(query).asset_id
        del self.world.devices[asset_id]
        self.trees.forget(asset_id)

    # ------------------------------------------------------------ models, time series

    def _model_actions(self) -> dict[str, Handler]:
        return {
            "get": lambda query, _body: self.world.model(query.get("modelId", "")),
            "search": lambda _query, body: self._searched(
                [self.world.model(model_id) for model_id in self.world.model_ids()], body
            ),
        }

    def _latest(self, _query: dict[str, str], body: dict[str, Any]) -> Any:
        assets, points = _listed(body, "assetIds"), _listed(body, "pointIds")
        items = []
        for (asset_id, point), (ms, value) in sorted(self.world.latest.items()):
            if asset_id in assets and point in points:
                items.append({"assetId": asset_id, "timestamp": ms, point: value})
        return {"items": items}

    def _raw(self, _query: dict[str, str], body: dict[str, Any]) -> Any:
        assets, points = _listed(body, "assetIds"), _listed(body, "pointIds")
        if len(assets) * len(points) > 3000:
            raise Refused(80400, "assets x points is over 3000")
        items = [
            {"assetId": asset_id, "timestamp": ms, point: value}
            for (asset_id, point, ms), value in sorted(self.world.values.items())
            if asset_id in assets and point in points and self._kept(asset_id, point)
        ]
        return {"items": items[: int(body.get("pageSize", 1000))]}

    def _kept(self, asset_id: str, point: str) -> bool:
        device = self.world.devices.get(asset_id)
        return device is None or self.world.keeps(device.product.model_id, point)


def _token_answer(data: Any, *, status: int, msg: str) -> JSONResponse:
    body = {"status": status, "msg": msg, "business": "apim-token-service", "data": data}
    return JSONResponse(body)


def _created(device: Device, *, secret: bool) -> dict[str, Any]:
    ids = {"assetId": device.asset_id, "productKey": device.product.key, "deviceKey": device.key}
    return ids | ({"deviceSecret": device.secret} if secret else {})


def _listed(body: dict[str, Any], name: str) -> set[str]:
    """Return a comma text as the time series API wants it; lists are refused as there."""
    text = body.get(name)
    if not isinstance(text, str) or not text:
        raise Refused(80400, f"{name} must be a text")
    return set(text.split(","))


def _no_action(_query: dict[str, str], _body: dict[str, Any]) -> Any:
    raise Refused(99400, "Invalid Argument: action")


def _not_found(_query: dict[str, str], _body: dict[str, Any]) -> Any:
    raise Refused(99404, "no such version")
