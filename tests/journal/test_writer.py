"""The writer thread: whatever waits is one commit, and after a failure nothing is written any more."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from posd.errors import StorageFailed
from posd.journal.contract import Row, Snapshot
from posd.journal.memory import MemoryStore
from posd.journal.writer import COMMIT_ROWS_MAX, COMMIT_SNAPSHOTS_MAX, Writer


class GatedStore(MemoryStore):
    """A disk that is slow until the gate opens; says when the first commit has come to it."""

    def __init__(self, *keys: Any) -> None:
        super().__init__(*keys)
        self.gate, self.entered = threading.Event(), threading.Event()
        self.upkeeps = 0
        self.saved: list[int] = []

    def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        super().save_snapshots(snapshots)
        self.saved.append(len(snapshots))

    def write(self, groups: Sequence[Sequence[Row]]) -> int:
        self.entered.set()
        self.gate.wait()
        return super().write(groups)

    def upkeep(self) -> None:
        super().upkeep()
        self.upkeeps += 1


@pytest.fixture
def store(chain_key: bytes, digest_key: bytes, sealer: Any) -> GatedStore:
    return GatedStore(chain_key, digest_key, sealer)


def run(store: Any, scenario: Callable[[Writer], Awaitable[None]], **other: Any) -> Writer:
    async def main() -> Writer:
        writer = Writer(store, **other)
        writer.start(asyncio.get_running_loop())
        try:
            await scenario(writer)
        finally:
            await writer.close()
        return writer

    return asyncio.run(main())


async def queued(store: GatedStore, first: Awaitable[int], *others: Awaitable[int]) -> list["asyncio.Task[int]"]:
    """Start the appends: when this returns, the first is at the disk and the others wait in the queue."""
    tasks = [asyncio.ensure_future(first)]
    await asyncio.to_thread(store.entered.wait)
    tasks += [asyncio.ensure_future(other) for other in others]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_d3_what_waits_becomes_one_commit(store: GatedStore, rows: Any) -> None:
    async def scenario(writer: Writer) -> None:
        tasks = await queued(store, *(writer.append(rows.sale(i)) for i in range(10)))
        store.gate.set()
        assert await asyncio.gather(*tasks) == [2 * i for i in range(1, 11)]

    writer = run(store, scenario)
    assert (store.commits, store.upkeeps) == (2, 2)
    assert (writer.commits, writer.rows) == (2, 20)
    assert [record.payload for record in store.records()] == [f'{{"n":{i}}}' for i in range(10)]


def test_d1_an_append_is_not_answered_before_it_is_durable(store: GatedStore, rows: Any) -> None:
    async def scenario(writer: Writer) -> None:
        (task,) = await queued(store, writer.append(rows.sale(1)))
        assert not task.done()
        assert store.head().sequence == 0
        store.gate.set()
        assert await task == 2
        assert store.head().sequence == 2

    run(store, scenario)


def test_a_commit_is_bounded(store: GatedStore, rows: Any) -> None:
    many = [rows.record(i, secret=None) for i in range(COMMIT_ROWS_MAX)]

    async def scenario(writer: Writer) -> None:
        tasks = await queued(store, writer.append(many), writer.append(many), writer.append(rows.sale(1)))
        store.gate.set()
        await asyncio.gather(*tasks)

    run(store, scenario)
    assert store.commits == 3  # two full ones and the rest


def test_d3_the_queue_is_bounded(store: GatedStore, rows: Any) -> None:
    async def scenario(writer: Writer) -> None:
        tasks = await queued(store, *(writer.append(rows.sale(i)) for i in range(5)))
        assert writer._jobs.qsize() <= 2
        store.gate.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]

    run(store, scenario, queue_max=2)


def test_snapshot_and_anchor_come_after_what_was_appended_before(store: GatedStore, rows: Any) -> None:
    store.gate.set()

    async def scenario(writer: Writer) -> None:
        append = asyncio.ensure_future(writer.append(rows.sale(1)))
        snapshot = asyncio.ensure_future(writer.snapshot("12345678", 2, 1, "state"))
        await asyncio.gather(append, snapshot, writer.sync_anchor())

    run(store, scenario)
    assert store.replay("12345678", 1)[:2] == ("state", 2)


def test_snapshots_that_wait_become_few_commits(store: GatedStore, rows: Any) -> None:
    count = 2 * COMMIT_SNAPSHOTS_MAX + 5

    async def scenario(writer: Writer) -> None:
        snapshots = (writer.snapshot(f"{n:08d}", 2, 1, f"state {n}") for n in range(count))
        tasks = await queued(store, writer.append(rows.sale(1)), *snapshots)  # type: ignore[arg-type]
        later = asyncio.ensure_future(writer.append(rows.sale(2)))
        store.gate.set()
        await asyncio.gather(*tasks, later)

    run(store, scenario)
    assert sum(store.saved) == count
    assert len(store.saved) <= 3
    assert store.replay(f"{count - 1:08d}", 1)[:2] == (f"state {count - 1}", 2)


def test_a_snapshot_that_fails_fails_all_that_waits(store: GatedStore, rows: Any, monkeypatch: Any) -> None:
    def fail(snapshots: object) -> None:
        raise StorageFailed("journal: snapshot: no")

    monkeypatch.setattr(store, "save_snapshots", fail)
    store.gate.set()

    async def scenario(writer: Writer) -> None:
        append = asyncio.ensure_future(writer.append(rows.sale(1)))
        jobs = (writer.snapshot("12345678", 2, 1, "s"), writer.snapshot("A0000001", 2, 1, "s"), writer.sync_anchor())
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["journal: snapshot: no"] * 3
        assert await append == 2

    run(store, scenario)


def test_close_writes_what_waits(store: GatedStore, rows: Any) -> None:
    store.gate.set()

    async def main() -> None:
        writer = Writer(store)
        writer.start(asyncio.get_running_loop())
        tasks = [asyncio.ensure_future(writer.append(rows.sale(i))) for i in range(5)]
        await asyncio.sleep(0)
        await writer.close()
        await writer.close()
        assert [await task for task in tasks] == [2, 4, 6, 8, 10]
        with pytest.raises(StorageFailed, match="closed"):
            await writer.append(rows.sale(9))

    asyncio.run(main())


def test_a_failure_fails_all_that_waits_and_all_that_comes(store: GatedStore, rows: Any) -> None:
    store.break_at(1, durable=True)

    async def scenario(writer: Writer) -> None:
        tasks = await queued(store, *(writer.append(rows.sale(i)) for i in range(8)))
        store.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, StorageFailed) for outcome in outcomes)
        assert "simulated I/O error" in str(outcomes[0])
        assert "simulated I/O error" in str(await writer.failed())
        for job in (writer.append(rows.sale(9)), writer.snapshot("12345678", 1, 1, "s"), writer.sync_anchor()):
            with pytest.raises(StorageFailed, match="simulated I/O error"):
                await job

    run(store, scenario, queue_max=3)
    assert store.commits == 1


def test_a_failure_after_the_answers_is_told(store: GatedStore, rows: Any, monkeypatch: Any) -> None:
    def fail() -> None:
        raise StorageFailed("journal: checkpoint: no")

    monkeypatch.setattr(store, "upkeep", fail)
    store.gate.set()

    async def scenario(writer: Writer) -> None:
        assert await writer.append(rows.sale(1)) == 2
        assert str(await writer.failed()) == "journal: checkpoint: no"

    run(store, scenario)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_thread_leaves_nobody_waiting(store: GatedStore, rows: Any, monkeypatch: Any) -> None:
    def bug(groups: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "write", bug)

    async def scenario(writer: Writer) -> None:
        with pytest.raises(StorageFailed, match="unexpected error"):
            await writer.append(rows.sale(1))

    run(store, scenario)


def test_a_cancelled_append_harms_nobody(store: GatedStore, rows: Any) -> None:
    async def scenario(writer: Writer) -> None:
        first, second, third = await queued(store, *(writer.append(rows.sale(i)) for i in range(3)))
        second.cancel()
        store.gate.set()
        assert await first == 2
        assert await third == 6

    run(store, scenario, queue_max=3)


def test_an_empty_append_is_a_bug(store: GatedStore) -> None:
    async def scenario(writer: Writer) -> None:
        with pytest.raises(ValueError, match="at least one row"):
            await writer.append([])

    run(store, scenario)


def test_over_sqlite(opened: Any, rows: Any) -> None:
    store = opened()

    async def scenario(writer: Writer) -> None:
        lasts = await asyncio.gather(*(writer.append(rows.sale(i)) for i in range(200)))
        assert lasts == [2 * i for i in range(1, 201)]

    writer = run(store, scenario)
    assert writer.commits < 200
    assert store.head().sequence == 400
