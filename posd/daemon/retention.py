"""The end of card numbers, done: asks the lanes what has been kept long enough, and destroys its data keys (D29).

What may go is the word of core/retention.py, and durable before a key is touched: a kill in between leaves a batch
expiring, and the next start destroys its keys again. Keys that come back, with a copy that was not at hand or with a
restored folder, are looked for at each start and once a day. It must never believe a clock that nobody vouches for: a
number that is destroyed does not come back.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from posd.core import events as e
from posd.core import retention
from posd.core.draft import Agenda, Draft
from posd.core.payload import dump_record, record_name, record_version
from posd.core.records import BatchSkipped, Record
from posd.core.rules import Rules
from posd.core.schedule import host_wall_ms
from posd.core.state import SettlementCause, State
from posd.daemon.log import alert
from posd.daemon.runner import LaneRunner
from posd.daemon.steps import Happened
from posd.journal.contract import RecordRow
from posd.journal.writer import Writer
from posd.security.datakeyfile import Belongs, by_batch
from posd.security.vault import DataKeys
from posd.values import Now, Tid

DAY_MS = 86_400_000

LOOK_S = 600.0
"""How often the lanes are asked: expiry is counted in days, and a lane that is busy is asked again."""

YEAR_IN_DOUBT_MS = 300 * DAY_MS
"""A silence between two known moments after which a host's month and day are no proof of the year."""

STRAYS_S = 86_400.0
"""How often every key file is looked at for keys that came back. It reads all of them."""


COPIES_GRACE_S = 2 * 86_400.0
"""So long the place of the copies may resist before it is alerted: the unit lets posd only read there, and the nightly
`posd backup create` destroys in it what has expired (security/keycopies.py)."""


class Batches(Protocol):
    """One terminal's batches: a lane's, or those of a terminal that is configured no more."""

    @property
    def state(self) -> State | None:
        """What is durable; None: it must not be trusted (D4)."""

    async def live(self, event: e.NumbersDue | e.KeysDestroyed) -> None:
        """Tell of what happened."""


class OfLane:
    """Of a terminal that works."""

    def __init__(self, runner: LaneRunner) -> None:
        self._runner = runner

    @property
    def state(self) -> State | None:
        return None if self._runner.fenced else self._runner.lane.engine.state

    async def live(self, event: e.NumbersDue | e.KeysDestroyed) -> None:
        if isinstance(event, e.NumbersDue):
            state = self.state
            if state is None or not retention.due_batches(state, event.closed_before_ms):
                return  # an item of the inbox wakes the lane, and lets it do what else it has to do
        self._runner.offer(Happened(event))


class OfRemoved:
    """Of a terminal that has no lane: nothing else is ever decided about it, and its numbers end all the same."""

    def __init__(self, state: State, rules: Rules, writer: Writer, now: Callable[[], Now]) -> None:
        self.state: State = state
        self._rules, self._writer, self._now = rules, writer, now

    async def live(self, event: e.NumbersDue | e.KeysDestroyed) -> None:
        draft = Draft(self._rules, self.state, Agenda(), self._now())
        if isinstance(event, e.NumbersDue):
            if draft.state.batch.opened_at_ms < event.closed_before_ms:
                draft.record(BatchSkipped(SettlementCause.SCHEDULE, None))  # D35: there is no money in it
            retention.expire(draft, event)
        else:
            retention.destroyed(draft, event)
        if draft.records:
            await self._writer.append([_row(draft, record) for record in draft.records])
            self.state = draft.state


class Retention:
    """`folder`: the data keys' own; `copies`: where copies of them are kept, if anywhere. `kept_days`: the setting."""

    def __init__(
        self,
        keys: DataKeys,
        folder: Path,
        copies: Path | None,
        kept_days: int,
        batches: Mapping[Tid, Batches],
        vouched_ms: Callable[[], int | None],
    ) -> None:
        self._keys, self._kept_days = keys, kept_days
        self._folders = (folder,) if copies is None else (folder, copies)
        self._batches, self._vouched_ms = batches, vouched_ms
        self._looking = asyncio.Lock()
        self._strays_at_s = 0.0
        self._failing_since_s: dict[Path, float] = {}
        self._destroyed: dict[Belongs, list[str]] = {}
        """The keys of each batch, once for each file, whose end is not recorded yet."""
        self._said = ""

    @property
    def in_trouble(self) -> bool:
        """Keys whose time is over cannot be destroyed: somebody has to look."""
        return bool(self._said)

    async def keep(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Destroy what has expired; then ask what more has been kept long enough. One look at a time."""
        async with self._looking:
            await self._destroy_when_due()
            vouched_ms = self._vouched_ms()
            if vouched_ms is not None:
                due = e.NumbersDue(vouched_ms - self._kept_days * DAY_MS, self._kept_days)
                for one in self._batches.values():
                    await one.live(due)

    async def _destroy_when_due(self) -> None:
        loop = asyncio.get_running_loop()
        states = {tid: state for tid, one in self._batches.items() if (state := one.state) is not None}
        if not any(state.numbers_expiring for state in states.values()) and loop.time() < self._strays_at_s:
            return
        everywhere = [await self._destroy_in(folder, states) for folder in self._folders]
        if not all(everywhere):
            return
        self._strays_at_s, self._said = loop.time() + STRAYS_S, ""
        self._failing_since_s.clear()
        for tid, state in states.items():
            await self._tell(tid, state)

    async def _destroy_in(self, folder: Path, states: Mapping[Tid, State]) -> bool:
        """Whether no key of a batch whose numbers are gone is left there."""
        try:
            found = await asyncio.to_thread(by_batch, folder)
            gone = {of: paths for of, paths in found.items() if _is_gone(states, of)}
            await asyncio.to_thread(self._keys.destroy, gone, [path for paths in gone.values() for path in paths])
        except OSError as error:  # a place of copies that is not there or may not be written, a disk that refuses
            self._not_destroyed(folder, (error.strerror or str(error)).lower())
            return False
        for of, paths in gone.items():
            self._destroyed.setdefault(of, []).extend(path.stem for path in paths)
        return True

    def _not_destroyed(self, folder: Path, because: str) -> None:
        now_s = asyncio.get_running_loop().time()
        since_s = self._failing_since_s.setdefault(folder, now_s)
        if folder != self._folders[0] and now_s - since_s < COPIES_GRACE_S:
            return
        if (said := f"{folder}: {because}") != self._said:
            alert("card_keys_not_destroyed", where=str(folder), because=because)
        self._said = said

    async def _tell(self, tid: Tid, state: State) -> None:
        ended = {of: ids for of, ids in self._destroyed.items() if of.tid == tid}
        batches = tuple(sorted({*state.numbers_expiring, *(of.batch for of in ended)}))
        if batches:
            every = [key_id for ids in ended.values() for key_id in ids]
            await self._batches[tid].live(e.KeysDestroyed(batches, tuple(sorted(set(every))), len(every)))
        for of in ended:
            del self._destroyed[of]


def _is_gone(states: Mapping[Tid, State], of: Belongs) -> bool:
    state = states.get(Tid(of.tid))
    return state is not None and state.numbers_gone(of.batch)


def vouched_ms(now: Now, in_step: bool | None, lanes: Iterable[LaneRunner]) -> int | None:
    """The newest moment that somebody else than this machine's clock vouches for; None: nobody does.

    That is now, where the kernel says that a time service keeps the clock in step; else when a host, whose own clock
    agreed, last told its time (D24). A host tells no year: after so long a silence that the year may be wrong, its word
    is not enough.
    """
    if in_step:
        return now.wall_ms
    return max((at_ms for runner in lanes if not runner.fenced for at_ms in _told_ms(runner)), default=None)


def _told_ms(runner: LaneRunner) -> Iterable[int]:
    state, rules = runner.lane.engine.state, runner.lane.engine.rules
    skew_ms = rules.clock_skew_max_s * 1000
    agreed = [at_ms for at_ms, ahead_ms in _host_clocks(state, rules.zone) if abs(ahead_ms) <= skew_ms]
    if not agreed:
        return
    moments = [*state.numbers_kept.values(), max(agreed)]
    if all(later - earlier < YEAR_IN_DOUBT_MS for earlier, later in pairwise(moments)):
        yield max(agreed)


def _host_clocks(state: State, zone: str) -> Iterable[tuple[int, int]]:
    """When a host told its time, and by how much that was ahead of ours."""
    session = state.session
    if session.signed_in_at_ms is not None and session.clock_offset_ms is not None:
        yield session.signed_in_at_ms, session.clock_offset_ms
    for txn in (*state.closed.values(), *state.transactions.values()):
        facts = txn.facts
        if facts is not None and facts.host_date and facts.host_time and txn.request_id not in state.advices:
            host_ms = host_wall_ms(f"{facts.host_date}{facts.host_time}", txn.at_ms, zone)
            if host_ms is not None:
                yield txn.at_ms, host_ms - txn.at_ms


def _row(draft: Draft, record: Record) -> RecordRow:
    name = record_name(record)
    return RecordRow(draft.state.tid, name, record_version(name), draft.now.wall_ms, dump_record(record))
