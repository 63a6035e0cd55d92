"""The MQTT side: an embedded broker that checks credentials as EnOS does and answers requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from demo.enos_sim.things import Session, Things, activation, login
from demo.enos_sim.world import World

_QOS = 1


class EnosBroker(BaseAuthPlugin, BaseTopicPlugin):  # type: ignore[misc] # amqtt has no types
    """Who may connect, what they may say, and what they hear back."""

    @dataclass
    class Config:
        """What the broker hands to the plugin."""

        world: Any

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.world: World = context.config.world
        self.things = Things(self.world)
        self.known: dict[str, Session] = {}

    async def authenticate(self, *, session: Any) -> bool:
        """Say whether a client's id, user name and password fit together."""
        found = login(
            self.world, session.client_id or "", session.username or "", session.password or ""
        )
        if found is None:
            self.world.counts["mqtt_refused"] += 1
            return False
        self.known[session.client_id] = found
        if found.device is not None:
            found.device.online = True
        return True

    async def topic_filtering(
        self, *, session: Any = None, topic: str | None = None, action: Any = None
    ) -> bool:
        """Let clients subscribe to what is theirs; what they publish goes to EnOS alone."""
        known = self.known.get(session.client_id) if session is not None else None
        if known is None or action == Action.PUBLISH:
            return False
        if action == Action.RECEIVE:
            return True
        key = "integration" if known.device is None else known.device.key
        own = f"{known.product_key}/{key}/"
        return (topic or "").startswith((f"/sys/{own}", f"/ext/session/{own}"))

    async def on_broker_client_connected(self, *, client_id: str, client_session: Any) -> None:
        """Push to devices what they never subscribe to: commands, and their secret in mode 3."""
        del client_session
        known = self.known.get(client_id)
        if known is None or known.device is None:
            return
        own = f"{known.product_key}/{known.device.key}"
        await self.context.add_subscription(client_id, f"/sys/{own}/thing/service/+", _QOS)
        if known.mode == 3:
            topic = f"/ext/session/{own}/thing/activate/info"
            await self.context.add_subscription(client_id, topic, _QOS)
            await self.context.broadcast_message(topic, activation(known.device), _QOS)

    async def on_broker_client_disconnected(self, *, client_id: str, client_session: Any) -> None:
        """Note that a device is gone, and with it its sub-devices' logins."""
        del client_session
        known = self.known.pop(client_id, None)
        if known is not None and known.device is not None:
            known.device.online = False

    async def on_broker_message_received(self, *, client_id: str, message: Any) -> None:
        """Answer a request on its reply topic."""
        known = self.known.get(client_id)
        if known is None or message is None:
            return
        reply = self.things.answer(known, message.topic, bytes(message.data))
        if reply is not None:
            await self.context.broadcast_message(f"{message.topic}_reply", reply, _QOS)


class MqttSide:
    """The broker on one port of the loopback."""

    def __init__(self, world: World, host: str, port: int) -> None:
        plugin = f"{__name__}.{EnosBroker.__name__}"
        self._broker = Broker(
            BrokerConfig(
                listeners={"default": ListenerConfig(bind=f"{host}:{port}")},
                plugins={plugin: {"world": world}},
            )
        )

    async def start(self) -> int:
        """Start, and return the port."""
        await self._broker.start()
        # amqtt tells its port nowhere else.
        server = self._broker._servers["default"].instance  # noqa: SLF001
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop."""
        await self._broker.shutdown()
