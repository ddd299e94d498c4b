"""The one thread that writes the journal: whatever waits becomes one commit (D3).

An `append` returns when its rows are durable and only then (design rule 0). After the first failure every
waiting and every later call raises StorageFailed: the process stops, nothing is tried again (P3). The thread
must never decide anything, and the event loop must never wait for the disk.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import assert_never

from posd.errors import StorageFailed
from posd.journal.contract import Row, Snapshot, Store

QUEUE_GROUPS_MAX = 4096
"""Groups that may wait or be written at one time; a further append waits for room."""
COMMIT_ROWS_MAX = 2000
"""Rows after which a commit takes no further group, so that none waits unboundedly for its durability."""
COMMIT_SNAPSHOTS_MAX = 16
"""Snapshots of one commit: each may have a hundred kilobytes."""


@dataclass(frozen=True, slots=True)
class _Group:
    rows: Sequence[Row]
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    snapshot: Snapshot
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _SyncAnchor:
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _Housework:
    work: Callable[[], object]
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _Stop:
    done: "asyncio.Future[int]"


_Job = _Group | _Snapshot | _SyncAnchor | _Housework | _Stop


@dataclass(slots=True)
class _Turn:
    """What the thread does at one time, in this order. `rows`: those of the groups."""

    groups: list[_Group] = field(default_factory=list)
    snapshots: list[_Snapshot] = field(default_factory=list)
    other: _SyncAnchor | _Housework | _Stop | None = None
    rows: int = 0

    def is_full(self) -> bool:
        return self.other is not None or self.rows >= COMMIT_ROWS_MAX or len(self.snapshots) >= COMMIT_SNAPSHOTS_MAX


class Writer:
    """Group commit over any Store. `commits`, `rows`: written so far. Used from one event loop."""

    def __init__(self, store: Store, *, queue_max: int = QUEUE_GROUPS_MAX) -> None:
        self._store = store
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._room = asyncio.Semaphore(queue_max)
        self._failed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._taken: list[_Job] = []
        self.failure: StorageFailed | None = None
        self.commits = 0
        self.rows = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; answers are given on `loop`."""
        self._loop = loop
        self._thread.start()

    async def append(self, rows: Sequence[Row]) -> int:
        """Make the rows durable, all or none and in their order; the sequence of the last of them.

        Raises StorageFailed. A cancelled append may still be written.
        """
        if not rows:
            raise ValueError("an append needs at least one row")
        return await self._submit(_Group(tuple(rows), self._future()))

    async def snapshot(self, tid: str, sequence: int, fold_version: int, state: str) -> None:
        """Save a snapshot after everything appended before. Raises StorageFailed."""
        await self._submit(_Snapshot(Snapshot(tid, sequence, fold_version, state), self._future()))

    def head_sequence(self) -> int:
        """The last row that is durable; of a lane that has nothing to append, all its rows lie at or before it."""
        return self._store.head().sequence

    async def sync_anchor(self) -> None:
        """Make the anchor durable: at batch close and every 5 s (D31). Raises StorageFailed."""
        await self._submit(_SyncAnchor(self._future()))

    async def do(self, work: Callable[[], object]) -> None:
        """Do a short piece of housework on the store, in the one thread that may (archive.py). Raises StorageFailed."""
        await self._submit(_Housework(work, self._future()))

    async def failed(self) -> StorageFailed:
        """Wait until the journal has failed; the failure. The daemon stops on it with status 3."""
        await self._failed.wait()
        assert self.failure is not None
        return self.failure

    async def close(self) -> None:
        """Write what waits, then end the thread. The store stays open: its owner closes it."""
        if self._closing or self._loop is None:
            return
        self._closing = True
        if self.failure is None:
            stop = _Stop(self._future())
            await self._room.acquire()
            self._jobs.put(stop)
            await asyncio.wait([stop.done])
            stop.done.exception()  # a failure has been told to `failed` and to everyone who waited
        self._thread.join()

    def _future(self) -> "asyncio.Future[int]":
        if self._loop is None:
            raise RuntimeError("the journal's writer was not started")
        return self._loop.create_future()

    async def _submit(self, job: _Job) -> int:
        self._refuse()
        await self._room.acquire()
        try:
            self._refuse()  # it may have failed or closed while this waited for room
        except StorageFailed:
            self._room.release()
            raise
        self._jobs.put(job)
        return await job.done

    def _refuse(self) -> None:
        if self.failure is not None:
            raise StorageFailed(str(self.failure))
        if self._closing:
            raise StorageFailed("journal: append: the writer is closed")

    # -- in the loop, called by the thread -------------------------------------------------------------------

    def _answer(self, answers: Sequence[tuple[_Job, int]]) -> None:
        for job, sequence in answers:
            self._room.release()
            if not job.done.done():  # done: its caller was cancelled
                job.done.set_result(sequence)

    def _fail(self, failure: StorageFailed, jobs: Sequence[_Job]) -> None:
        self.failure = failure
        self._failed.set()
        # also those that came into the queue before `failure` was seen; after it nobody can
        for job in [*jobs, *self._waiting()]:
            self._room.release()
            if not job.done.done():
                job.done.set_exception(StorageFailed(str(failure)))

    def _waiting(self) -> list[_Job]:
        jobs: list[_Job] = []
        with suppress(Empty):
            while True:
                jobs.append(self._jobs.get_nowait())
        return jobs

    # -- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure = StorageFailed("journal: writer: an unexpected error stopped it; its traceback is on stderr")
        stopped = False
        try:
            while not stopped:
                stopped = self._work(self._take())
        except StorageFailed as error:
            failure = error
        finally:
            if not stopped:
                self._tell(self._fail, failure, self._taken)

    def _take(self) -> _Turn:
        """Wait for a job, then take the groups and snapshots that wait: up to one commit's worth, or one other job."""
        self._taken = [job := self._jobs.get()]
        turn = _Turn()
        while True:
            match job:
                case _Group():
                    turn.groups.append(job)
                    turn.rows += len(job.rows)
                case _Snapshot():
                    turn.snapshots.append(job)
                case _SyncAnchor() | _Housework() | _Stop():
                    turn.other = job
                case _:
                    assert_never(job)
            if turn.is_full():
                return turn
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return turn
            self._taken.append(job)

    def _work(self, turn: _Turn) -> bool:
        """Do what was taken and answer it; whether it said stop."""
        if turn.groups:
            self._commit(turn.groups)
        if turn.snapshots:  # after the rows that they were taken after
            self._store.save_snapshots([job.snapshot for job in turn.snapshots])
            self._taken = [turn.other] if turn.other is not None else []
            self._tell(self._answer, [(job, 0) for job in turn.snapshots])
        if turn.groups or turn.snapshots:
            self._store.upkeep()  # after the answers, so that nobody waits for a checkpoint
        if turn.other is None:
            return False
        if isinstance(turn.other, _SyncAnchor):
            self._store.sync_anchor()
        if isinstance(turn.other, _Housework):
            turn.other.work()
            self._store.upkeep()
        self._taken = []
        self._tell(self._answer, [(turn.other, 0)])
        return isinstance(turn.other, _Stop)

    def _commit(self, groups: list[_Group]) -> None:
        last = self._store.write([group.rows for group in groups])
        count = sum(len(group.rows) for group in groups)
        self.commits += 1
        self.rows += count
        sequence = last - count
        answers: list[tuple[_Job, int]] = []
        for group in groups:
            sequence += len(group.rows)
            answers.append((group, sequence))
        self._taken = [job for job in self._taken if not isinstance(job, _Group)]
        self._tell(self._answer, answers)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(what, *arguments)
