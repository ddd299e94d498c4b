"""Keeps every lane's snapshot near the journal's head: what a start has to verify is counted from the oldest of them.

A terminal that is idle for a year would else make every start verify the year, because the chain runs over all
terminals' rows. It must never cost a commit for each sale, nor hold the loop for many states at a time.
"""

import asyncio
from collections.abc import Iterable

from posd.core.payload import FOLD_VERSION, dump_state
from posd.daemon.recover import Recovered
from posd.daemon.runner import LaneRunner
from posd.journal.contract import Store
from posd.journal.writer import COMMIT_SNAPSHOTS_MAX

SNAPSHOT_LAG_ROWS = 15_000
"""Rows of all terminals that a snapshot may lie behind the journal's head: about 2000 sales. Verifying and folding them
takes a third of a second."""

SNAPSHOT_LAG_ROWS_EACH = 150
"""The same for each terminal: to write out a state of 500 transactions costs the loop 0.5 ms (and the writer's thread
5 ms without the interpreter's lock), and that must stay a twentieth of the work for the 20 sales in between."""

SNAPSHOT_BEAT_S = 2.0
"""How often that is looked at; what is written in the meantime comes on top."""

ENDING_LAG_ROWS = 1000
"""The same at an orderly end, when there is time to make the next start quick."""


def lag_rows_max(terminals: int) -> int:
    """Rows that a snapshot may lie behind where there are so many terminals."""
    return max(SNAPSHOT_LAG_ROWS, SNAPSHOT_LAG_ROWS_EACH * terminals)


async def keep_snapshots_near(runners: Iterable[LaneRunner], rows_max: int) -> None:
    """New snapshots where the newest lies more than `rows_max` rows behind. Raises StorageFailed.

    One state is written out in a turn of the loop; those that wait together share a commit.
    """
    under_way: list[asyncio.Task[None]] = []
    for runner in runners:
        if runner.snapshot_lag() <= rows_max:
            continue
        under_way.append(asyncio.create_task(runner.refresh_snapshot()))
        await asyncio.sleep(0)
        if len(under_way) == COMMIT_SNAPSHOTS_MAX:
            await asyncio.gather(*under_way)
            under_way.clear()
    await asyncio.gather(*under_way)


def keep_removed_near(store: Store, recovered: Recovered) -> None:
    """The same at the start for a terminal that is configured no more, and so has no lane. Raises StorageFailed."""
    head = store.head().sequence
    if not recovered.fenced and head - recovered.snapshot_sequence > SNAPSHOT_LAG_ROWS:
        store.save_snapshot(recovered.state.tid, head, FOLD_VERSION, dump_state(recovered.state))
