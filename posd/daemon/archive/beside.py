"""An archive run in the running daemon: reading and copying in a thread beside, the rest through the one writer (D3).

Sales go on: each piece is short, and a pause follows it. A run that is cut short by the daemon's end is finished by the
next start. It must never be needed: whatever it meets, the journal is whole without it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Literal, TypeVar

from posd.core.payload import FOLD_VERSION, dump_state
from posd.core.station import STATION, OperationRecord
from posd.daemon.archive.plan import Lane, Plan, before_of, plan
from posd.daemon.archive.progress import Progress
from posd.daemon.clock import SystemClock
from posd.daemon.control.server import ControlFailed
from posd.daemon.log import alert, log
from posd.daemon.recover import known
from posd.daemon.runner import LaneRunner
from posd.daemon.shown.views import View
from posd.errors import PosdError
from posd.journal.archive import Work, do, is_unfinished, works_to_archive, works_to_finish
from posd.journal.segment import segment_path
from posd.journal.sqlite import SqliteStore
from posd.journal.writer import Writer
from posd.values import Tid, Who

PAUSE_S = 0.01
"""After each work, for everybody else."""
SNAPSHOT_TRIES = 200
SNAPSHOT_POLL_S = 0.05
FOLD_TRIES = 5

T = TypeVar("T")
Kind = Literal["progress", "result"]


class Archivist:
    """`zone`: whose months these are. `remember`: makes a record durable, then returns. For one event loop."""

    def __init__(
        self,
        store: SqliteStore,
        writer: Writer,
        lanes: Mapping[Tid, LaneRunner],
        clock: SystemClock,
        zone: str,
        remember: Callable[[OperationRecord], Awaitable[None]],
    ) -> None:
        self._store, self._writer, self._lanes = store, writer, lanes
        self._clock, self._zone, self._remember = clock, zone, remember
        self._busy = False

    @property
    def is_missing_some(self) -> bool:
        """Whether a segment is not where it belongs: taken elsewhere, or lost."""
        return any(not segment_path(self._store.folder, one).is_file() for one in self._store.segments)

    async def keep(self) -> None:
        """For ever: what a run before has left, if it has; then only what is asked for."""
        await self.finish()
        await asyncio.get_running_loop().create_future()

    async def finish(self) -> None:
        """At a start: what a run before has left, if it has. Raises StorageFailed: the journal's writer failed."""
        if self._busy or not await _beside(partial(is_unfinished, self._store)):
            return
        self._busy = True
        try:
            async for _ in self._through(works_to_finish(self._store), Progress(self._store)):
                pass
            log.info("archive_finished", base=self._store.base.sequence)
        except PosdError as error:
            if self._writer.failure is not None:
                raise
            alert("archive_not_finished", because=str(error))
        finally:
            self._busy = False

    async def archive(self, before: str | None, by: str, who: Who) -> AsyncIterator[tuple[Kind, View]]:
        """Move what can go: any number of "progress", then one "result". Raises ControlFailed, ConfigError.

        Raises StorageFailed: the segment could not be made; the journal itself is as it was.
        """
        month = before_of(before, self._clock.now().wall_ms, self._zone)
        if self._busy:
            raise ControlFailed("an archive run is under way already; see posd journal archives when it is over")
        self._busy = True
        try:
            progress = Progress(self._store)
            async for said in self._through(works_to_finish(self._store), progress):
                yield "progress", said
            found = await self._plan(month)
            if found.cuts:
                await self._remember(found.record(self._store.base.sequence, by, who))
            for cut in found.cuts:
                progress.month = cut.month
                async for said in self._through(works_to_archive(self._store, cut.month, cut.last), progress):
                    yield "progress", said
                log.info("month_archived", month=cut.month, last=cut.last)
            yield "result", progress.result(found)
        finally:
            self._busy = False

    async def _plan(self, before: str) -> Plan:
        """What goes, with every terminal's snapshot behind it."""
        lanes = [_lane(runner) for runner in self._lanes.values()]
        removed = await _beside(lambda: list(self._removed()))
        found = await _beside(lambda: plan(self._store, [*lanes, *removed], before, self._zone))
        if not found.cuts:
            return found
        last = found.cuts[-1].last
        for lane in await _beside(lambda: list(self._removed())):  # once more: a row may have come since
            if not lane.fenced and lane.snapshot_sequence < last:
                await self._writer.snapshot(lane.tid, lane.at, FOLD_VERSION, dump_state(lane.state))
        await self._require_snapshots(last)
        return found

    def _removed(self) -> Iterator[Lane]:
        """Terminals that are configured no more: they have no lane, and nothing that they owe (D35)."""
        for tid in self._store.tids():
            if Tid(tid) not in self._lanes and tid != STATION:
                yield from self._of_removed(tid)

    def _of_removed(self, tid: str) -> Iterator[Lane]:
        """Folded at a row after which it had none: the end of its card numbers may be written meanwhile (D29)."""
        for _ in range(FOLD_TRIES):
            at = self._store.head().sequence
            recovered = known(self._store, Tid(tid))
            newest = self._store.ask("SELECT max(sequence) FROM record WHERE tid = ?", (tid,))[0][0] or 0
            if recovered is not None and newest <= at:
                fenced, snapshot = recovered.fenced, recovered.snapshot_sequence
                yield Lane(Tid(tid), recovered.state, fenced, snapshot, configured=False, at=at)
                return
        raise ControlFailed(f"terminal {tid} is too busy for a snapshot; nothing was moved, try again later")

    async def _require_snapshots(self, last: int) -> None:
        """Each terminal's newest one lies behind the row `last`. Raises ControlFailed: one is too busy for it."""
        for _ in range(SNAPSHOT_TRIES):
            behind = [one for one in self._lanes.values() if not one.fenced and one.snapshot_sequence < last]
            if not behind:
                return
            for runner in behind:
                await runner.refresh_snapshot()
            await asyncio.sleep(SNAPSHOT_POLL_S)
        raise ControlFailed("a terminal is too busy for a snapshot; nothing was moved, try again later")

    async def _through(self, works: Iterator[Work], progress: Progress) -> AsyncIterator[View]:
        """Do all of them, each to its end, in its place."""
        try:
            while (work := await _beside(lambda: next(works, None))) is not None:
                began_s = self._clock.monotonic_s()
                if work.in_writer:
                    await self._writer.do(work.do)
                else:
                    await _beside(partial(do, work))
                if progress.done(work, self._clock.monotonic_s() - began_s):
                    yield progress.view(work)
                await asyncio.sleep(PAUSE_S)
        finally:
            if (close := getattr(works, "close", None)) is not None:
                close()


def _lane(runner: LaneRunner) -> Lane:
    state = runner.lane.engine.state
    return Lane(state.tid, state, runner.fenced, runner.snapshot_sequence)


async def _beside(work: Callable[[], T]) -> T:
    """In a thread; one that was begun is waited for, also by who is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    finally:
        if not running.done():
            await asyncio.wait([running])
