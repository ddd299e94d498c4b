"""What became of one settlement: each step, ours against the host's totals, every uploaded item, the first suspects.

Made of the journal's records alone, so it is the same with the daemon up or down. It decides nothing and shows nothing
that is not masked; amounts come as text and in minor units, times in the terminal's own zone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from posd.core import chips
from posd.core.answers import GroupCount, GroupResult, HostTotals, Totals
from posd.core.fold.apply import apply
from posd.core.payload import load_record
from posd.core.rules import TxnKind
from posd.core.state import (
    NOT_TAKEN,
    UNDELIVERED,
    Advice,
    AdviceStatus,
    CloseOutcome,
    LastClose,
    ReversalStatus,
    Settlement,
    SettlementPhase,
    State,
    TxnStatus,
)
from posd.core.totals import totals_of
from posd.daemon.fence import BUGS
from posd.daemon.shown import words
from posd.daemon.shown.batch_rows import (
    STARTED,
    BatchRows,
    alone,
    contradicts,
    empty_lane,
    ended_batch,
    newest_end,
    open_batch,
)
from posd.daemon.shown.views import Around, View, totals_view, transaction_view
from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from posd.values import RequestId, Tid, Who, format_amount

GOOD = frozenset({CloseOutcome.AGREED, CloseOutcome.EMPTY})

CARRIED_OVER = frozenset({"reversal_carried_over", "advice_carried_over"})

OF_THE_TERMINAL = frozenset({"terminal_closed", "terminal_items_compared", "terminal_upload_ended"})

OF_TWO_PEOPLE = frozenset({"decision_proposed", "proposal_ended"})

FOLDED = frozenset(words.EVENT) - CARRIED_OVER - OF_THE_TERMINAL - OF_TWO_PEOPLE
"""The records of a close that say where it stands; the others speak of something else."""

MAC = "64"
CODE = "39"
ONE_GROUP = "all"
"""Of an acquirer whose totals are one group, with foreign cards in it."""
SHOWN = ("request_id", "at", "kind", "amount", "amount_minor", "card", "stan", "rrn", "code", "status", "text")


@dataclass(frozen=True, slots=True)
class _Close:
    """Where a close stands: as it was when it ended, if it has."""

    settlement: Settlement
    last: LastClose | None


def settlement_report(reader: JournalReader, tid: Tid, number: int | None, around: Around) -> View | None:
    """The settlement of the newest batch of this number, or the newest one; None: the journal has none.

    Raises StorageFailed.
    """
    batch = _chosen(reader, tid, number)
    return _report(reader, tid, batch, around) if batch is not None else None


def _chosen(reader: JournalReader, tid: Tid, number: int | None) -> BatchRows | None:
    """Without a number: the open batch if its settlement has anything to tell, else the last one that ended."""
    current = open_batch(reader, tid)
    if current is None:
        return None
    told = any(map(_is_told, current.rows))
    if current.number == number or (number is None and told):
        return current
    end = newest_end(reader, tid, number)
    return ended_batch(reader, end) if end is not None else None


def _report(reader: JournalReader, tid: Tid, batch: BatchRows, around: Around) -> View:
    close = _close(tid, batch)
    settlement, last = close.settlement, close.last
    started = [RequestId(row.request_id) for row in batch.rows if row.kind in STARTED and row.request_id]
    states = {of: alone(reader.records(request_id=of), of) for of in started}
    ours = settlement.totals or (last.totals if last else _counted(states, around))
    groups = _groups(ours, settlement.host, around)
    items = _items(settlement, states, around)
    differs = last is not None and last.outcome not in GOOD
    differs = differs or settlement.phase is SettlementPhase.UNCONFIRMED or any(row["differs"] for row in groups)
    return {
        "tid": tid,
        "batch": batch.number,
        "outcome": last.outcome.value if last else None,
        "phase": None if last else settlement.phase.value,
        "text": words.OUTCOME[last.outcome] if last else words.PHASE[settlement.phase],
        "good": last.outcome in GOOD if last else settlement.phase is not SettlementPhase.UNCONFIRMED,
        "cause": settlement.cause.value if settlement.cause else None,
        "due_at": around.when(settlement.due_ms),
        "begun_at": around.when(settlement.begun_at_ms),
        "closed_at": around.when(last.closed_at_ms) if last else None,
        "transactions": sum(not _is_report(of, state) for of, state in states.items()),
        "ours": totals_view(ours),
        "host": totals_view(told) if (told := settlement.host and settlement.host.totals) else None,
        "host_tells_totals": settlement.host is None or settlement.host.totals is not None,
        "groups": groups,
        "items": items,
        "uploaded": sum(item["fate"] == "uploaded" for item in items),
        "set_aside": len(settlement.set_aside),
        "carried_over": _carried_over(reader, batch, around),
        "scripts_not_told": _scripts_not_told(states, around),
        "suspects": list(_suspects(reader, states, settlement, groups, around)) if differs else [],
        "events": [_event(row, around) for row in batch.rows if _is_told(row)],
    }


def _is_told(row: RecordView) -> bool:
    """A step of the close; what two people say of one request is told with that request."""
    return row.kind in words.EVENT and not (row.kind in OF_TWO_PEOPLE and row.request_id)


def _close(tid: Tid, batch: BatchRows) -> _Close:
    state = empty_lane(tid)
    before = state.settlement
    for row in batch.rows:
        if row.kind not in FOLDED:
            continue
        before = state.settlement
        try:
            state = apply(state, load_record(row.kind, row.version, row.payload), row.at_ms)
        except BUGS as error:
            raise contradicts(row, error) from None
    return _Close(before, state.last_close) if batch.end is not None else _Close(state.settlement, None)


def _counted(states: dict[RequestId, State], around: Around) -> Totals:
    every = (state.find(of) for of, state in states.items())
    return totals_of((txn for txn in every if txn is not None), around.rules)


# --- ours and theirs -----------------------------------------------------------------------------------------------


def _groups(ours: Totals, host: HostTotals | None, around: Around) -> list[View]:
    """A row for each side of each group: ours, the host's, and by how much ours is more."""
    told = host.totals if host else None
    if not around.rules.foreign_apart:
        one, said = told.domestic if told else None, host.domestic if host else None
        return list(_sides(ONE_GROUP, ours.domestic, one, said))
    return [
        *_sides("domestic", ours.domestic, told.domestic if told else None, host.domestic if host else None),
        *_sides("foreign", ours.foreign, told.foreign if told else None, host.foreign if host else None),
    ]


def _sides(group: str, ours: GroupCount, host: GroupCount | None, result: GroupResult | None) -> Iterator[View]:
    for side in ("debit", "credit"):
        minor, count = getattr(ours, f"{side}_minor"), getattr(ours, f"{side}_count")
        their_minor = getattr(host, f"{side}_minor") if host else None
        their_count = getattr(host, f"{side}_count") if host else None
        yield {
            "group": group,
            "side": side,
            "result": result.value if result else None,
            "ours": format_amount(minor),
            "ours_minor": minor,
            "ours_count": count,
            "host": None if their_minor is None else format_amount(their_minor),
            "host_minor": their_minor,
            "host_count": their_count,
            "difference": None if their_minor is None else signed(minor - their_minor),
            "difference_minor": None if their_minor is None else minor - their_minor,
            "difference_count": None if their_count is None else count - their_count,
            "differs": their_minor is not None and (minor, count) != (their_minor, their_count),
        }


def signed(minor: int) -> str:
    """An amount that may be below zero: '-1.05'."""
    return f"{'-' if minor < 0 else ''}{format_amount(abs(minor))}"


# --- single transactions -------------------------------------------------------------------------------------------


def _items(settlement: Settlement, states: dict[RequestId, State], around: Around) -> list[View]:
    """What the host wanted uploaded, in the order of the messages, and how far each item came."""
    items = []
    for place, of in enumerate(settlement.items):
        if of in settlement.set_aside:
            fate = "set_aside"
        elif place < settlement.uploaded:
            fate = "uploaded"
        else:
            fate = "sent" if place < settlement.uploaded + settlement.in_flight else "waiting"
        items.append({**_shown(of, states[of], around), "fate": fate})
    return items


def _shown(of: RequestId, state: State, around: Around) -> View:
    txn = state.find(of)
    assert txn is not None, "a transaction is folded from its first record"
    view = transaction_view(txn, state, around)
    counted = {"amount": format_amount(txn.counted_minor), "amount_minor": txn.counted_minor}  # D15
    group = "foreign" if txn.foreign else "domestic"
    group = group if around.rules.foreign_apart else ONE_GROUP
    return {**{name: view[name] for name in SHOWN}, **counted, "group": group}


def _is_report(of: RequestId, state: State) -> bool:
    """It tells of a transaction, and is none itself."""
    txn = state.find(of)
    return txn is not None and txn.kind is TxnKind.SCRIPT_RESULT


def _scripts_not_told(states: dict[RequestId, State], around: Around) -> list[View]:
    """Approvals with issuer scripts, of whose results the terminal told nothing in this batch."""
    every = {of: txn for of, state in states.items() if (txn := state.find(of)) is not None}
    told = {txn.original for txn in every.values() if txn.kind is TxnKind.SCRIPT_RESULT}
    owing = [of for of, txn in every.items() if chips.owes_a_report(txn) and of not in told]
    return [_shown(of, states[of], around) for of in owing]


def _carried_over(reader: JournalReader, batch: BatchRows, around: Around) -> list[View]:
    """What was still owed when the totals left, each with what became of it since (D19)."""
    found = []
    for row in batch.rows:
        if row.kind in CARRIED_OVER and row.request_id is not None:
            of = RequestId(row.request_id)
            state = alone(reader.records(request_id=of), of)
            found.append({**_shown(of, state, around), **_since(of, state)})
    return found


def _since(of: RequestId, state: State) -> View:
    """What became of a reversal, or of an advice, that was carried over."""
    advice = state.advices.get(of)
    if advice is not None:
        return {"advice": advice.status.value, "advice_text": words.ADVICE[advice.status]}
    reversal = state.reversals[of]
    return {"reversal": reversal.status.value, "reversal_text": words.REVERSAL[reversal.status]}


def _suspects(
    reader: JournalReader, states: dict[RequestId, State], settlement: Settlement, groups: list[View], around: Around
) -> Iterator[View]:
    """What may explain a difference, the likeliest first: `why` is a code, `fits` says that the amount is the gap."""
    gaps = {abs(row["difference_minor"]) for row in groups if row["difference_minor"]}
    found = []
    for of, state in states.items():
        why = "set_aside" if of in settlement.set_aside else _suspicion(reader, of, state)
        if why is not None:
            shown = _shown(of, state, around)
            found.append({**shown, "why": why, "why_text": words.SUSPECT[why], "fits": shown["amount_minor"] in gaps})
    order = list(words.SUSPECT)
    yield from sorted(found, key=lambda one: (not one["fits"], order.index(one["why"])))


def _suspicion(reader: JournalReader, of: RequestId, state: State) -> str | None:
    txn, reversal = state.find(of), state.reversals.get(of)
    assert txn is not None
    if (advice := state.advices.get(of)) is not None:
        return _of_advice(advice)
    if reversal is not None:
        return _of_reversal(reversal.status, reversal.carried_over, reversal.flagged)
    if txn.status is TxnStatus.DECLINED:
        return "declined_without_mac" if txn.unmaced or _without_mac(reader, of) else None
    return "in_doubt" if txn.status in (TxnStatus.UNKNOWN, TxnStatus.IN_DOUBT) else None


def _of_advice(advice: Advice) -> str | None:
    if advice.status in NOT_TAKEN:
        return "advice_doubtful" if advice.status is AdviceStatus.DOUBTFUL else "advice_refused"
    return "advice_owed" if advice.carried_over or advice.status in UNDELIVERED else None


def _of_reversal(status: ReversalStatus, carried_over: bool, flagged: bool) -> str | None:
    match status:
        case ReversalStatus.CONFLICT:
            return "conflict"
        case ReversalStatus.OWED | ReversalStatus.STUCK:
            return "reversal_owed"
        case ReversalStatus.RESOLVED:
            return "resolved_by_a_person"
        case ReversalStatus.ACKNOWLEDGED if carried_over:
            return "carried_over"
        case _:
            return "flagged" if flagged else None


def _without_mac(reader: JournalReader, of: RequestId) -> bool:
    """The host's last word on it came without field 64 (D10); older records do not say so themselves."""
    answers = [row for row in reader.messages(request_id=of) if (row.direction, row.peer) == ("in", "host")]
    fields = json.loads(answers[-1].fields) if answers else {MAC: ""}
    return CODE in fields and MAC not in fields


# --- what happened when --------------------------------------------------------------------------------------------


def _event(row: RecordView, around: Around) -> View:
    facts = facts_of(json.loads(row.payload), around)
    return {
        "sequence": row.sequence,
        "at": around.when(row.at_ms),
        "kind": row.kind,
        "facts": facts,
        "text": words.event(row.kind, facts),
    }


def facts_of(payload: dict[str, Any], around: Around) -> View:
    """A record's facts, ready for a sentence: amounts and times as text, lists as their length."""
    facts: View = {}
    for name, value in payload.items():
        match value:
            case int() if name.endswith("_minor"):
                facts[name.removesuffix("_minor")] = format_amount(value)
            case int() | None if name.endswith("_ms"):
                facts[name.removesuffix("_ms")] = around.when(value)
            case list():
                facts[name] = len(value)
            case dict() if "domestic" in value and isinstance(value["domestic"], str):
                facts |= {"domestic": value["domestic"]}
                facts |= {"foreign": value["foreign"]} if around.rules.foreign_apart else {}
            case dict() if name == "who":
                facts[name] = Who(**value).name
            case dict():
                pass
            case None if name == "who":  # an older version did not say
                pass
            case _:
                facts[name] = value
    if "theirs" in payload:
        facts["agreed"] = payload["theirs"] == payload["ours"]
    return facts
