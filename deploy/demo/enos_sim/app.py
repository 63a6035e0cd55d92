"""The simulator put together."""

from __future__ import annotations

from fastapi import FastAPI

from demo.enos_sim.discovery import Discovery
from demo.enos_sim.faults import Faults, FaultyASGI, admin
from demo.enos_sim.integration import Integration
from demo.enos_sim.rest import Rest
from demo.enos_sim.security import Tokens
from demo.enos_sim.world import World


class Simulator:
    """One simulated EnOS over HTTP."""

    def __init__(self, world: World) -> None:
        self.world, self.tokens, self.faults = world, Tokens(world), Faults()
        self.rest = Rest(world, self.tokens)
        app = FastAPI(title="EnOS simulator", openapi_url=None)
        for router in (
            self.rest.router,
            Integration(world, self.tokens).router,
            Discovery(world, self.tokens).router,
            admin(world, self.tokens, self.faults),
        ):
            app.include_router(router)
        self.app = FaultyASGI(app, self.faults)
