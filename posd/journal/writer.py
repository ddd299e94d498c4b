"""The one thread that writes the journal: whatever waits becomes one commit (D3).

An `append` returns when its rows are durable and only then (design rule 0). After the first failure every
waiting and every later call raises StorageFailed: the process stops, nothing is tried again (P3). The thread
must never decide anything, and the event loop must never wait for the disk.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import assert_never

from posd.errors import StorageFailed
from posd.journal.contract import Row, Store

QUEUE_GROUPS_MAX = 4096
"""Groups that may wait or be written at one time; a further append waits for room."""
COMMIT_ROWS_MAX = 2000
"""Rows after which a commit takes no further group, so that none waits unboundedly for its durability."""


@dataclass(frozen=True, slots=True)
class _Group:
    rows: Sequence[Row]
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    tid: str
    sequence: int
    fold_version: int
    state: str
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _SyncAnchor:
    done: "asyncio.Future[int]"


@dataclass(frozen=True, slots=True)
class _Stop:
    done: "asyncio.Future[int]"


_Job = _Group | _Snapshot | _SyncAnchor | _Stop


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
        await self._submit(_Snapshot(tid, sequence, fold_version, state, self._future()))

    async def sync_anchor(self) -> None:
        """Make the anchor durable: at batch close and every 5 s (D31). Raises StorageFailed."""
        await self._submit(_SyncAnchor(self._future()))

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
                stopped = self._work(*self._take())
        except StorageFailed as error:
            failure = error
        finally:
            if not stopped:
                self._tell(self._fail, failure, self._taken)

    def _take(self) -> tuple[list[_Group], _Job | None]:
        """Wait for a job, then take the groups that wait, up to one commit's worth, or up to the first other job."""
        self._taken = [job := self._jobs.get()]
        groups: list[_Group] = []
        rows = 0
        while isinstance(job, _Group):
            groups.append(job)
            rows += len(job.rows)
            if rows >= COMMIT_ROWS_MAX:
                return groups, None
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return groups, None
            self._taken.append(job)
        return groups, job

    def _work(self, groups: list[_Group], other: _Job | None) -> bool:
        """Do what was taken and answer it; whether it said stop."""
        if groups:
            self._commit(groups)
            self._store.upkeep()  # after the answers, so that nobody waits for a checkpoint
        match other:
            case None | _Group():
                return False
            case _Snapshot():
                self._store.save_snapshot(other.tid, other.sequence, other.fold_version, other.state)
            case _SyncAnchor():
                self._store.sync_anchor()
            case _Stop():
                pass
            case _:
                assert_never(other)
        self._taken = []
        self._tell(self._answer, [(other, 0)])
        return isinstance(other, _Stop)

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
        self._taken = self._taken[len(groups) :]
        self._tell(self._answer, answers)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(what, *arguments)
