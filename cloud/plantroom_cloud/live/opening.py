"""The bus that the settings name."""

from __future__ import annotations

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.live.bus import Bus, MemoryBus
from plantroom_cloud.live.redis_bus import RedisBus


def open_bus(settings: CloudSettings) -> Bus:
    """Return the bus of `settings`.

    Raises:
        ConfigError: it is Redis, and its client is not installed.
    """
    if settings.live.bus == "redis":
        return RedisBus(settings.redis.get_secret_value())
    return MemoryBus()
