"""`python -m simulators.bench.archive`: what archiving a long past gives and costs, beside a writer that goes on.

The past is posd's own (past.py), spread over months, and so are the store, the writer and the archivist; only the
terminals and the host are left out: a commit every few milliseconds stands for their sales, and is timed.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from posd.core.station import OperationRecord
from posd.daemon.archive.beside import Archivist
from posd.daemon.clock import SystemClock
from posd.daemon.recover import known
from posd.daemon.station_lane import station_row
from posd.journal.connect import JOURNAL_FILE
from posd.journal.opening import open_store
from posd.journal.segment import archive_folder
from posd.journal.sqlite import SqliteStore
from posd.journal.verify import verify
from posd.journal.verify_archive import Depth, Looks
from posd.journal.writer import Writer
from posd.security.machine import MachineKey, create_machine_key
from posd.security.vault import DataKeys
from posd.values import NOBODY_KNOWN, RequestId, Tid
from simulators.bench.measures import ids
from simulators.bench.past import Lane, begin, commit, settle, snapshot

ROWS_OF_A_SALE = 7
SALES_PER_BATCH = 300
DAY_MS = 86_400_000
DAYS = 120
EVERY_S = 0.005
"""Between two commits that stand for sales."""
QUIET_S = 5.0


def opened(folder: Path, key: MachineKey) -> SqliteStore:
    vault = DataKeys(folder / "keys", key)
    return open_store(folder / "journal", key.derive("chain"), key.derive("digest"), vault)


def write_months(store: SqliteStore, lanes: list[Lane], rows: int) -> None:
    """`rows` rows that end now, in closed batches; the last one of each terminal is empty."""
    batches = max(1, rows // ROWS_OF_A_SALE // SALES_PER_BATCH // len(lanes))
    for _ in range(batches):
        for lane in lanes:
            lane.at_ms += DAYS * DAY_MS // batches
            for _ in range(SALES_PER_BATCH):
                lane.sale()
            settle(store, lane)
    for lane in lanes:
        settle(store, lane)
        lane.at_ms += DAY_MS
        lane.sale()
        commit(store, lane)
        snapshot(store, lane)


async def commits(writer: Writer, lane: Lane, took_ms: list[float]) -> None:
    """For ever: as many rows as a sale has, timed until they are durable. Messages only: no lane lives here to know."""
    of = RequestId(f"{lane.state.tid}/000001/000001/0200/000000")
    while True:
        for _ in range(ROWS_OF_A_SALE):
            lane.message("in", "host", "0210", of, lane.state.stan)
        rows, lane.rows = lane.rows, []
        began_s = time.monotonic()
        await writer.append(rows)
        took_ms.append((time.monotonic() - began_s) * 1000)
        await asyncio.sleep(EVERY_S)


@asynccontextmanager
async def selling(writer: Writer, lane: Lane) -> AsyncIterator[list[float]]:
    took_ms: list[float] = []
    task = asyncio.create_task(commits(writer, lane, took_ms))
    try:
        yield took_ms
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def spread(took_ms: list[float]) -> str:
    every = sorted(took_ms)
    at = [every[min(len(every) - 1, int(len(every) * share))] for share in (0.5, 0.99)]
    return f"p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, longest {every[-1]:.1f} ms ({len(every)} commits)"


async def archived(store: SqliteStore, lane: Lane) -> None:
    writer = Writer(store)
    writer.start(asyncio.get_running_loop())

    async def remember(record: OperationRecord) -> None:
        await writer.append([station_row(record, SystemClock().now().wall_ms)])

    archivist = Archivist(store, writer, {}, SystemClock(), "Asia/Shanghai", remember)
    async with selling(writer, lane) as quiet:
        await asyncio.sleep(QUIET_S)
    async with selling(writer, lane) as busy:
        began_s = time.monotonic()
        said = [said async for _, said in archivist.archive(None, "bench", NOBODY_KNOWN)][-1]
        took_s = time.monotonic() - began_s
    rows = sum(one["rows"] for one in said["archived"])
    print(f"archived {len(said['archived'])} months, {rows:,} rows in {took_s:.1f} s ({rows / took_s:,.0f} rows/s)")
    print(f"longest work of the writer {said['longest_commit_ms']} ms, held {said['held']}")
    print(f"a commit before: {spread(quiet)}\na commit meanwhile: {spread(busy)}")
    await writer.close()


def timed(what: str, work: Callable[[], int]) -> None:
    began_s = time.monotonic()
    rows = work()
    took_s = time.monotonic() - began_s
    print(f"{what}: {took_s:.2f} s" + (f" ({rows / took_s:,.0f} rows/s)" if rows else ""))


def restart(folder: Path, key: MachineKey, tids: list[str]) -> int:
    store = opened(folder, key)
    for tid in tids:
        assert known(store, Tid(tid)) is not None
    store.close()
    return 0


def measure(folder: Path, rows: int, terminals: int) -> None:
    key = create_machine_key(folder / "machine.key")
    (folder / "keys").mkdir(mode=0o700)
    tids = ids("6", terminals)
    store = opened(folder, key)
    start_ms = time.time_ns() // 1_000_000 - (DAYS + 2) * DAY_MS
    lanes = [begin(tid, key, start_ms) for tid in tids]
    write_months(store, lanes, rows)
    store.checkpoint()
    print(f"{store.head().sequence:,} rows, the database has {size(folder):,} bytes")
    store.close()
    timed("restart before", lambda: restart(folder, key, tids))
    store = opened(folder, key)
    asyncio.run(archived(store, lanes[0]))
    for lane in lanes:  # as the daemon keeps them near the head
        snapshot(store, lane)
    store.checkpoint()
    store.close()
    segments = sum(path.stat().st_size for path in archive_folder(folder / "journal").iterdir())
    print(f"the database has {size(folder):,} bytes, the segments have {segments:,}")
    timed("restart after", lambda: restart(folder, key, tids))
    chain = key.derive("chain")
    timed("verify, each row", lambda: verify(folder / "journal", chain).rows)
    sums = Looks(Depth.SUMS)
    timed("verify, checksums of segments", lambda: verify(folder / "journal", chain, looks=sums).rows and 0)


def size(folder: Path) -> int:
    return (folder / "journal" / JOURNAL_FILE).stat().st_size


def main() -> None:
    said = "What archiving a long past gives and costs."
    asked = argparse.ArgumentParser(prog="python -m simulators.bench.archive", description=said)
    asked.add_argument("--rows", type=int, default=1_000_000, help="of the past (1000000)")
    asked.add_argument("--terminals", type=int, default=4, help="that made it (4)")
    asked.add_argument("--folder", type=Path, help="where the journal is made; else a temporary folder")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        measure(Path(name), given.rows, given.terminals)


if __name__ == "__main__":
    main()
