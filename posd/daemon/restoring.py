"""Marking a restored journal, before it is put in its place: every lane has a gap from the first moment on, or none
needs one because nothing came after the backup (core/restored.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from posd.core import events as e
from posd.core.engine import Engine
from posd.core.restored import is_above, jumped
from posd.core.rules import Rules
from posd.core.state import State
from posd.core.station import STATION, JournalRestored
from posd.daemon.recover import known, record_row, recover
from posd.daemon.station_lane import station_row
from posd.errors import ConfigError
from posd.journal.contract import Row, Store
from posd.values import Now, Stan, Tid, next_stan


@dataclass(frozen=True, slots=True)
class Jump:
    """How far the trace numbers go on: past `stan_gap` numbers, or past the last one that somebody knows."""

    stan_gap: int
    last_stans: Mapping[Tid, Stan]

    def from_here(self, tid: Tid, stan: Stan) -> Stan:
        """The first number to be used. Raises ConfigError for a last one that lies before what the backup knows."""
        last = self.last_stans.get(tid)
        if last is None:
            return jumped(stan, self.stan_gap)
        after = next_stan(last)
        if after != stan and not is_above(after, stan):
            known = f"the backup itself goes up to {stan - 1:06d}"
            raise ConfigError(f"--last-stan {tid}={last}: {known}; give the last number that was used since")
        return after


@dataclass(frozen=True, slots=True)
class Marked:
    """One lane after its mark; `state` None: it was fenced before, and stays so (D4)."""

    tid: Tid
    state: State | None


def mark_newest(store: Store, restored: JournalRestored, at_ms: int) -> None:
    """Nothing came after the backup: the lanes go on as if posd had been restarted. Raises StorageFailed."""
    store.write([[station_row(restored, at_ms)]])


def mark_older(
    store: Store, rules: Mapping[Tid, Rules], usual: Rules, restored: JournalRestored, jump: Jump, now: Now, first: int
) -> list[Marked]:
    """A gap for every terminal of the journal, and for those of the settings that it does not know.

    `usual`: the rules of terminals that were configured away. `first`: the number of a new terminal's batch. One
    commit for all. Raises ConfigError, StorageFailed.
    """
    tids = sorted({*map(Tid, store.tids()), *rules} - {Tid(STATION)})
    rows: list[Row] = [station_row(restored, now.wall_ms)]
    marked = []
    for tid in tids:
        recovered = known(store, tid) or recover(store, tid, now.wall_ms, first)
        if recovered.fenced:
            marked.append(Marked(tid, None))
            continue
        engine = Engine(rules.get(tid, usual), recovered.state)
        event = e.Restored(restored.backup, restored.since_ms, jump.from_here(tid, recovered.state.stan))
        draft = engine.handle(event, now)
        rows += [record_row(draft.state, record, now.wall_ms) for record in draft.records]
        marked.append(Marked(tid, draft.state))
    store.write([rows])
    return marked
