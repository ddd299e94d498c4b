"""The fold of a restored backup's records; the rules stand in ../restored.py."""

from typing import assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.effects import Refusal
from posd.core.state import (
    ASKED_OF_THE_GAP_MAX,
    UNDELIVERED,
    UNENDED,
    Gap,
    ReversalStatus,
    Settlement,
    SettlementPhase,
    State,
)
from posd.core.tables import settlement as table
from posd.values import RequestId

RestoredRecord = r.LaneRestored | r.HostBatchFound | r.TerminalAdmitted | r.GapResolved

WOULD_BE_SENT = UNENDED - {ReversalStatus.CONFLICT}
"""Of a reversal; one in conflict waits for a person anyhow."""

ASKED = frozenset({SettlementPhase.TOTALS, SettlementPhase.UPLOADING, SettlementPhase.TRAILER})
"""The host was asked to close: it may have done so since."""


def apply_restored(state: State, record: RestoredRecord, at_ms: int) -> State:
    """The state after one record of a restore."""
    if isinstance(record, r.LaneRestored):
        return _restored(state, record, at_ms)
    gap = state.gap
    assert gap is not None, "only a restored lane has a gap"
    match record:
        case r.HostBatchFound():
            return replace(state, gap=replace(gap, number=record.number))
        case r.TerminalAdmitted():
            return replace(state, gap=replace(gap, mark=record.terminal_stan or gap.mark, admitted_by=_by(record, gap)))
        case r.GapResolved():
            return replace(state, gap=None)
        case _:
            assert_never(record)


def _by(record: r.TerminalAdmitted, gap: Gap) -> str:
    """A person who gave the terminal's last number admits what is above it, not everything."""
    return record.by if record.terminal_stan is None else gap.admitted_by


def _restored(state: State, record: r.LaneRestored, at_ms: int) -> State:
    """An earlier gap that nobody has ended is part of this one."""
    before = state.gap
    gap = Gap(
        backup=record.backup,
        since_ms=before.since_ms if before is not None else record.since_ms,
        until_ms=at_ms,
        first_stan=before.first_stan if before is not None else state.stan,
        next_stan=record.next_stan,
        first_number=before.first_number if before is not None else state.batch.number,
        asked=before.asked if before is not None else (),
    )
    return replace(
        state,
        gap=gap,
        batch=replace(state.batch, unknown=True),
        stan=record.next_stan,
        exchange=None,
        unconfirmed=(),
        session=replace(state.session, signed_in=False, out_because="posd was restored from a backup"),
        settlement=_settlement(state.settlement),
        # what left after the backup may have gone unanswered: 94, 12 and 25 are judged so (D11, D14)
        reversals={
            of: replace(one, held=True, unanswered=max(one.unanswered, 1)) if one.status in WOULD_BE_SENT else one
            for of, one in state.reversals.items()
        },
        advices={
            of: replace(one, held=True, unanswered=max(one.unanswered, 1)) if one.status in UNDELIVERED else one
            for of, one in state.advices.items()
        },
    )


def _settlement(settlement: Settlement) -> Settlement:
    """Totals that were asked are asked again as they were, after a person's word (D20); an upload begins anew."""
    if settlement.phase not in ASKED:
        return settlement
    phase, because = table.move(settlement.phase, table.Input.UNCLEAR), "posd was restored from a backup"
    if settlement.phase is SettlementPhase.TOTALS:
        return replace(settlement, phase=phase, postponed_because=because)
    return Settlement(
        phase,
        cause=settlement.cause,
        due_ms=settlement.due_ms,
        begun_at_ms=settlement.begun_at_ms,
        totals=settlement.totals,
        approved_by=settlement.approved_by,
        postponed_because=because,
    )


def asked_of_the_gap(state: State, of: RequestId | None, refusal: str | None) -> State:
    """A terminal spoke of a request that is not known here and may have happened in the gap (`refusal` None: it took it
    back)."""
    gap = state.gap
    if gap is None or of is None or of in gap.asked or refusal not in (None, Refusal.RESTORED.value):
        return state
    return replace(state, gap=replace(gap, asked=(*gap.asked, of)[-ASKED_OF_THE_GAP_MAX:]))
