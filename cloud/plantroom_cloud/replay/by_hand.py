"""A replay as a person asks for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.kit.times import parse_time
from plantroom_cloud.migrations import migrate
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.replay.positions import (
    Asked,
    Book,
    NamedBook,
    Position,
    check_name,
    new_replay,
)
from plantroom_cloud.replay.reader import Place, Reader
from plantroom_cloud.replay.run import Outcome, Pace, Replay
from plantroom_cloud.replay.sinks import FileSink, Sink
from plantroom_cloud.replay.topic import Credentials, TopicSink, check_topic, read_broker
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import ConfigError, Unavailable


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for, checked but for what only the database knows."""

    site: str
    company: str
    from_us: int
    to_us: int
    sink: Sink
    sink_name: str
    speed: float | None
    consumer: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Command:
    """What a person has written, as it was written."""

    site: str
    company: str
    start: str
    end: str
    to_file: Path | None
    to_topic: str
    broker: str
    ca: Path | None
    certificate: Path | None
    key: Path | None
    client_id: str
    username: str
    speed: float | None
    consumer: str
    restart: bool


def replay_by_hand(config: Path | None, asked: Command) -> Outcome:
    """Run the replay that `asked` describes; ConfigError says what of it is wrong."""
    clock = SystemClock()
    order = _order(asked, clock)
    return asyncio.run(_run(load_settings(config), order, clock))


def _order(asked: Command, clock: Clock) -> Order:
    credentials = Credentials(
        asked.ca, asked.certificate, asked.key, asked.client_id, asked.username
    )
    sink, name = _sink(asked.to_file, asked.to_topic, asked.broker, credentials)
    if asked.speed is not None and not 1e-6 <= asked.speed <= 1e9:
        what = "must be a factor from 0.000001 to 1000000000"
        raise ConfigError(
            what, key="--speed", fix="1 is real time; leave it out to go at full speed"
        )
    if asked.consumer:
        check_name(asked.consumer)
    from_us = _time(asked.start, "--from")
    to_us = _time(asked.end, "--to") if asked.end else clock.now_us()
    if from_us >= to_us:
        what = "must lie before --to"
        raise ConfigError(what, key="--from", fix="exchange them or widen")
    return Order(
        asked.site,
        asked.company,
        from_us,
        to_us,
        sink,
        name,
        asked.speed,
        asked.consumer,
        asked.restart,
    )


def _time(text: str, option: str) -> int:
    try:
        return parse_time(text, option)
    except InvalidRequest as error:
        fix = "write it as 2026-01-31T12:00:00Z or as seconds since 1970-01-01 UTC"
        what = f"{text[:60]!r} is no time"
        raise ConfigError(what, key=option, fix=fix) from error


def _sink(
    to_file: Path | None, to_topic: str, broker: str, credentials: Credentials
) -> tuple[Sink, str]:
    if (to_file is None) == (not to_topic):
        what = "one of --to-file and --to-topic is needed"
        raise ConfigError(what, key="replay", fix="name a file, or a topic with its --broker")
    if to_file is not None:
        path = to_file.absolute()
        return FileSink(path), f"file:{path}"
    check_topic(to_topic)
    sink = TopicSink(read_broker(broker, credentials), to_topic)
    return sink, sink.name


def told(outcome: Outcome) -> str:
    """Return what a replay has come to as a sentence."""
    return (
        f"replay {outcome.replay}: {outcome.delivered} objects delivered, {outcome.now} of them "
        f"now; {outcome.late} came in behind the position and were not replayed"
    )


async def _run(settings: CloudSettings, order: Order, clock: Clock) -> Outcome:
    database = open_database(settings)
    try:
        await migrate(database)
        async with database.read(None) as session:
            scope, site_id = await find_site(session, order.site, order.company)
        place = Place(scope, site_id, order.site)
        if not order.consumer:
            position = Position(new_replay(), order.from_us, order.to_us)
            return await _replay(Reader(database, place), order, clock, Book(), position)
        async with lease(database, f"replay-{scope.company_id}-{order.consumer}") as mine:
            if not mine:
                msg = f"consumer {order.consumer!r} is being served by another process"
                raise Unavailable(msg)
            book = NamedBook(database, scope, order.consumer)
            wanted = Asked(site_id, order.sink_name, order.from_us, order.to_us)
            position = await book.open(wanted, clock.now_us(), restart=order.restart)
            return await _replay(Reader(database, place), order, clock, book, position)
    except SQLAlchemyError as error:
        msg = f"the database does not answer: {error}"
        raise Unavailable(msg) from error
    finally:
        await database.close()


async def _replay(
    reader: Reader, order: Order, clock: Clock, book: Book, position: Position
) -> Outcome:
    begin = position.from_us if position.after is None else position.after[0]
    replay = Replay(reader, order.sink, book, clock)
    return await replay.run(position, Pace(order.speed, begin, clock))
