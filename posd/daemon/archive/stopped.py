"""An archive run where no daemon runs, under the journal's lock: the same works, one after the other.

Here the writer has nobody to wait for it, so a database that schema version 1 made is also rewritten once, so that its
free pages can be given back from then on.
"""

from collections.abc import Callable, Iterator

from posd.core.payload import FOLD_VERSION, dump_state
from posd.core.station import STATION
from posd.daemon.archive.plan import Lane, before_of, plan
from posd.daemon.archive.progress import Progress
from posd.daemon.clock import SystemClock
from posd.daemon.recover import known
from posd.daemon.shown.views import View
from posd.daemon.station_lane import station_row
from posd.journal.archive import Work, do, works_to_archive, works_to_finish
from posd.journal.sqlite import SqliteStore
from posd.values import Tid, Who


def archive(
    store: SqliteStore,
    configured: frozenset[str],
    before: str | None,
    zone: str,
    clock: SystemClock,
    tell: Callable[[View], None],
    by: str,
    who: Who,
) -> View:
    """Move what can go; the result. `configured`: the terminals of the settings. `by`: as typed, else that of `who`.

    Raises ConfigError, StorageFailed.
    """
    progress = Progress(store)
    month = before_of(before, clock.now().wall_ms, zone)

    def through(works: Iterator[Work]) -> None:
        for work in works:
            began_s = clock.monotonic_s()
            do(work)
            if progress.done(work, clock.monotonic_s() - began_s):
                store.upkeep()
                tell(progress.view(work))

    through(works_to_finish(store))
    found = plan(store, list(_lanes(store, configured)), month, zone)
    if found.cuts:
        _keep_snapshots(store, configured)
        store.write([[station_row(found.record(store.base.sequence, by, who), clock.now().wall_ms)]])
    for cut in found.cuts:
        progress.month = cut.month
        through(works_to_archive(store, cut.month, cut.last))
    if found.cuts and not store.can_give_back:
        store.rewrite()
    store.checkpoint()
    return progress.result(found)


def _lanes(store: SqliteStore, configured: frozenset[str]) -> Iterator[Lane]:
    for tid in store.tids():
        recovered = known(store, Tid(tid)) if tid != STATION else None
        if recovered is not None:
            here = tid in configured
            yield Lane(Tid(tid), recovered.state, recovered.fenced, recovered.snapshot_sequence, here)


def _keep_snapshots(store: SqliteStore, configured: frozenset[str]) -> None:
    """Every terminal's state stays known without a segment."""
    for lane in _lanes(store, configured):
        if not lane.fenced:
            store.save_snapshot(lane.tid, store.head().sequence, FOLD_VERSION, dump_state(lane.state))
