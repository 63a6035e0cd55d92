"""COV notifications → news of poll groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.bacnet.frames import Notification
from plantroom_edge.drivers.bacnet.grouping import Readout
from plantroom_edge.drivers.bacnet.news import News
from plantroom_edge.drivers.bacnet.notices import decode_notice
from plantroom_edge.drivers.bacnet.rows import rows_of
from plantroom_edge.drivers.bacnet.session import Reading
from plantroom_edge.drivers.bacnet.values import Malformed
from plantroom_edge.drivers.bacnet.vocabulary import split
from plantroom_shared.clock import Clock


class Listening:
    """Takes what the devices of a bus tell by themselves.

    Args:
        clock: stamps it.
        readouts: returns what is polled of a device instance.
    """

    def __init__(self, clock: Clock, readouts: Callable[[int], Iterable[Readout]]) -> None:
        self._clock, self._readouts = clock, readouts
        self._news = News()

    def hear(self, said: Notification) -> bool:
        """Take a COV notification; False if nobody asked its sender for it."""
        try:
            notice = decode_notice(said.body)
        except Malformed:
            return False
        for readout in self._readouts(split(notice.device)[1]):
            if readout.session.peer.station != said.peer.station or readout.watch is None:
                continue
            row = readout.watch.hear(notice, asyncio.get_running_loop().time())
            if row is not None:
                self._news.add(readout, row, readout.watch.told(row), self._clock.now_us())
                return True
        return False

    async def notice(self) -> tuple[PollGroup, Poll]:
        """Wait for the next news; rows whose device has fallen silent since are none."""
        while True:
            bundle = await self._news.take()
            readout: Readout = bundle.about
            watch = readout.watch
            if watch is not None and watch.group is not None and watch.last is not None:
                watch.last = _renewed(readout, watch.last, bundle.rows, bundle.ts)
                return watch.group, _reported(watch.group, watch.last, bundle.rows)


def _renewed(readout: Readout, last: Poll, news: dict[int, tuple[Any, Any]], ts: int) -> Poll:
    """Return the last poll with the rows that have been told since."""
    values, quality = list(last.values), dict(last.quality)
    for row, (value, flags) in news.items():
        value_ref, flags_ref = readout.rows[row]
        told = rows_of(ts, [(value_ref, flags_ref)], Reading({value_ref: value, flags_ref: flags}))
        values[row] = readout.worth(row, told.values[0])
        quality.pop(row, None)
        if told.quality:
            quality[row] = told.quality[0]
    poll = Poll(ts, values, quality)
    readout.check(poll)
    return poll


def _reported(group: PollGroup, poll: Poll, news: dict[int, tuple[Any, Any]]) -> Poll:
    """Return `poll` with the rows that are worth a sample."""
    if group.gate is None:
        rows = sorted(news)
    else:
        rows = list(group.gate.changed(poll.values, poll.quality))
    return Poll(poll.ts, list(poll.values), dict(poll.quality), rows=rows)
