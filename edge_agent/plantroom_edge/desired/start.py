"""The way in: what the cloud wants must never keep the agent from starting."""

from __future__ import annotations

import fcntl
import logging
import time
from pathlib import Path

from plantroom_edge.config import AgentConfig, load, load_with
from plantroom_edge.desired.state import State
from plantroom_shared.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)


def load_to_run(file: Path) -> AgentConfig:
    """Read the configuration that is to run.

    Where what the cloud wanted cannot be used any more (a profile is gone, a new release knows a key
    no longer), what was before it runs, or else what the site's file says by itself.

    Raises:
        ConfigError: the site's own file cannot be used.
    """
    try:
        return load(file)
    except ConfigError as error:
        alone = load_with(file, None)  # the site's own mistakes are told as ever
        state = State.read(alone.desired_file)
        if state.in_force is None:
            raise
        log.warning("what the cloud wanted does not count any more", extra={"error": str(error)})
        was_trial = state.trial is not None
        kind = "rolled_back" if was_trial else "set_aside"
        state.go_back(_now(), kind, reason="configuration", errors=[str(error)[:300]])
        if not _write(state, alone):
            return alone
        return load_to_run(file) if was_trial else alone


def beginning(config: AgentConfig, file: Path | None) -> AgentConfig:
    """Count this start where a change is being tried; return what is to run by that.

    The caller holds the data folder.
    """
    if file is None or not config.desired.keys or not config.desired_file.exists():
        return config
    state = State.read(config.desired_file)
    before = state.in_force
    if not state.begin(_now()):
        return config
    try:
        state.write(config.desired_file)
    except Unavailable as error:
        log.warning("a trial cannot be counted", extra={"error": str(error)})
        return config
    return config if state.in_force == before else load_to_run(file)


def _write(state: State, config: AgentConfig) -> bool:
    """Write `state` unless another agent runs there; say whether that was possible."""
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        with (config.data / "agent.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state.write(config.desired_file)
    except (OSError, Unavailable) as error:
        log.warning("what was set aside cannot be noted", extra={"error": str(error)})
        return False
    return True


def _now() -> int:
    return time.time_ns() // 1000
