"""Whether a business day's settlements were done, not due, empty, deferred, forgotten or unknown: why, and what is at
stake.

Computed from the journal alone (and whether a daemon answers now), so that a day that nobody settled cannot hide: each
due moment of the day must be followed by a close that began at or after it (D18), or by a reason. It never changes
anything. Every cause names the journal's rows that say so.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time

from posd.core.payload import load_record
from posd.core.records import BatchClosed
from posd.core.schedule import DAY_MS, business_day_ms, due_moments_ms
from posd.core.state import CloseOutcome, Transaction
from posd.core.totals import counts
from posd.daemon.shown import words
from posd.daemon.shown.batch_rows import ENDS, STARTED, alone
from posd.daemon.shown.settlement_report import facts_of
from posd.daemon.shown.terminal_view import LATE_AFTER_S
from posd.daemon.shown.uptime import Gap, Uptime, uptime
from posd.daemon.shown.views import Around, View
from posd.journal.contract import MessageView, RecordView
from posd.journal.reader import JournalReader
from posd.values import RequestId, Tid, format_amount

LATE_MS = LATE_AFTER_S * 1000
EVIDENCE_MAX = 4
"""Rows named for one cause: the first ones and the last."""

WORST_FIRST = ("forgotten", "unknown", "under_way", "deferred", "not_due", "done", "empty")
"""A terminal's day is what the worst of its due moments is; a day that is not over is not done."""
BAD = frozenset({"forgotten", "unknown"})

REFUSED = frozenset({"totals_unanswered", "upload_unanswered", "trailer_unanswered", "upload_set_aside"})
"""With a code: the host refused. Without one: it said nothing that can be used."""

Row = RecordView | MessageView


@dataclass(frozen=True, slots=True)
class Segment:
    """One batch in the journal. `begun_ms`: when its close began (or it was skipped); `end`: what ended it."""

    rows: tuple[RecordView, ...]
    begun_ms: int | None
    end: RecordView | None
    money: tuple[Transaction, ...]


def check_day(reader: JournalReader, tid: Tid, day: date, ends_at: time, around: Around, *, running: bool) -> View:
    """One terminal's business day; `around.now` is the moment of asking. Raises StorageFailed."""
    rules = around.rules
    begin_ms, end_ms = business_day_ms(day, ends_at, rules.zone)
    segments = _segments(reader, tid, begin_ms, end_ms, around)
    up = uptime(reader, begin_ms, around.now.wall_ms, running)
    moments = [
        _moment(due_ms, segments, up, around)
        for due_ms in due_moments_ms(begin_ms, end_ms, rules.due_times, rules.zone)
    ]
    status = min((moment["status"] for moment in moments), key=WORST_FIRST.index, default="not_due")
    return {
        "tid": tid,
        "date": day.isoformat(),
        "from": around.when(begin_ms),
        "until": around.when(end_ms),
        "status": status,
        "text": words.DAY[status],
        "good": status not in BAD,
        "moments": moments,
    }


# --- reading -------------------------------------------------------------------------------------------------------


def _segments(reader: JournalReader, tid: Tid, since_ms: int, until_ms: int, around: Around) -> list[Segment]:
    """The batches from the one that was open at `since_ms` on, oldest first; the last one satisfies every due moment
    before `until_ms`, or is the open one."""
    rows: list[RecordView] = []
    for row in reader.records(tid=tid, newest_first=True):
        if row.kind in ENDS and row.at_ms < since_ms - DAY_MS:  # a clock that was moved back shall not end this early
            break
        rows.append(row)
    found: list[Segment] = []
    part: list[RecordView] = []
    for row in reversed(rows):
        part.append(row)
        if row.kind in ENDS:
            found.append(_segment(reader, part, around))
            part = []
            if (found[-1].begun_ms or 0) >= until_ms:
                return found  # whatever came later says nothing about this day
    return [*found, _segment(reader, part, around)]


def _segment(reader: JournalReader, rows: list[RecordView], around: Around) -> Segment:
    end = rows[-1] if rows and rows[-1].kind in ENDS else None
    begun = next((row for row in rows if row.kind == "settlement_begun"), None)
    begun = begun if begun is not None else end
    return Segment(tuple(rows), begun.at_ms if begun else None, end, tuple(_money(reader, rows, around)))


def _money(reader: JournalReader, rows: Iterable[RecordView], around: Around) -> Iterator[Transaction]:
    """What there was to settle, what is still owed and what is in doubt, oldest first."""
    for row in rows:
        if row.kind in STARTED and row.request_id is not None:
            of = RequestId(row.request_id)
            state = alone(reader.records(request_id=of), of)
            txn = state.find(of)
            owes = bool(state.unended_reversals() or state.in_doubt() or state.undelivered_advices())
            if txn is not None and (owes or counts(txn, around.rules)):
                yield txn


# --- one due moment ------------------------------------------------------------------------------------------------


def _moment(due_ms: int, segments: list[Segment], up: Uptime, around: Around) -> View:
    now_ms = around.now.wall_ms
    segment = next((one for one in segments if one.begun_ms is not None and one.begun_ms >= due_ms), segments[-1])
    status = _status(due_ms, segment, segments, around)
    closed = segment.end if segment.end is not None and status != "not_due" else None
    until_ms = segment.begun_ms if segment.begun_ms is not None and segment.begun_ms >= due_ms else now_ms
    late = until_ms - due_ms > LATE_MS and status in ("done", "forgotten", "unknown", "under_way")
    unclear = status == "unknown" or (status in ("forgotten", "under_way") and segment.begun_ms is not None)
    causes = list(_causes(due_ms, now_ms if unclear else until_ms, segment, up, around)) if late or unclear else []
    if status == "forgotten" and not causes and up.unknown_at(due_ms):
        status = "unknown"
    outcome = _outcome(closed)
    return {
        "due_at": around.when(due_ms),
        "status": status,
        "text": words.OUTCOME[outcome] if outcome and status == "done" else words.DAY[status],
        "batch": closed.batch if closed else None,
        "outcome": outcome.value if outcome else None,
        "begun_at": around.when(segment.begun_ms) if closed or status == "under_way" else None,
        "settled_at": around.when(closed.at_ms) if closed else None,
        "late_s": (until_ms - due_ms) // 1000 if late else 0,
        "causes": causes,
        "at_stake": _at_stake(segment, around) if status in ("forgotten", "unknown", "under_way", "deferred") else None,
    }


def _status(due_ms: int, segment: Segment, segments: list[Segment], around: Around) -> str:
    now_ms = around.now.wall_ms
    first = next((row for one in segments for row in one.rows), None)
    if first is None:
        return "not_due" if due_ms > now_ms else "unknown"
    if due_ms > now_ms:
        return "not_due"
    if first.kind == "lane_opened" and first.at_ms > due_ms:
        return "empty"  # the terminal was not there yet
    has_money = any(txn.at_ms <= due_ms for txn in segment.money)
    if segment.end is not None:
        return _status_of_closed(due_ms, segment, has_money)
    if not has_money and segment.begun_ms is None:
        return "empty"
    if _deferred(due_ms, segment):
        return "deferred"
    return _status_of_open(due_ms, segment, around)


def _status_of_closed(due_ms: int, segment: Segment, has_money: bool) -> str:
    assert segment.end is not None
    assert segment.begun_ms is not None
    outcome = _outcome(segment.end)
    if outcome is CloseOutcome.EMPTY or (not has_money and segment.begun_ms - due_ms > LATE_MS):
        return "empty"  # what was closed later came later
    if _deferred(due_ms, segment):
        return "deferred"
    return "unknown" if outcome is CloseOutcome.UNCONFIRMED else "done"


def _status_of_open(due_ms: int, segment: Segment, around: Around) -> str:
    kinds = [row.kind for row in segment.rows]
    decided = "settlement_decided" in kinds[_last(kinds, "settlement_unconfirmed") :]
    if "settlement_unconfirmed" in kinds and not decided:
        return "unknown"
    since_ms, patience_ms = due_ms, LATE_MS
    if segment.begun_ms is not None:
        since_ms, patience_ms = segment.begun_ms, LATE_MS + round(around.rules.settle_hold_max_s * 1000)
    return "under_way" if around.now.wall_ms - since_ms <= patience_ms else "forgotten"


def _last(kinds: list[str], kind: str) -> int:
    return len(kinds) - 1 - kinds[::-1].index(kind) if kind in kinds else 0


def _deferred(due_ms: int, segment: Segment) -> bool:
    """This due moment was passed over on purpose (D23)."""
    noted = (json.loads(row.payload)["due_ms"] for row in segment.rows if row.kind == "settlement_deferred")
    return due_ms in noted


def _outcome(end: RecordView | None) -> CloseOutcome | None:
    if end is None:
        return None
    record = load_record(end.kind, end.version, end.payload)
    return record.outcome if isinstance(record, BatchClosed) else CloseOutcome.EMPTY


def _at_stake(segment: Segment, around: Around) -> View:
    """Debits and credits together, as the minimum and the maximum count them (D23)."""
    gross = sum(txn.counted_minor for txn in segment.money)
    return {
        "count": len(segment.money),
        "amount": format_amount(gross),
        "amount_minor": gross,
        "oldest_at": around.when(segment.money[0].at_ms) if segment.money else None,
    }


# --- why -----------------------------------------------------------------------------------------------------------


def _causes(due_ms: int, until_ms: int, segment: Segment, up: Uptime, around: Around) -> Iterator[View]:
    """What kept it between the due moment and the begin (or now), what outweighs the others first."""
    within = [row for row in segment.rows if due_ms <= row.at_ms <= until_ms]
    spans = [(due_ms, min(until_ms, due_ms + LATE_MS))]
    if segment.end is None:
        spans.append((until_ms - 1, until_ms))  # what is in its way now
    causes: dict[str, list[Row]] = {
        "held": _held(due_ms, segment),
        "restored": _restored(due_ms, segment),
        "daemon_down": _of_gaps(up.daemon, spans),
        "clock": [row for row in within if row.kind == "settlement_postponed" and "clock" in _because(row)],
        "host_refused": [row for row in within if row.kind in REFUSED and _code(row)],
        "line": [*_of_gaps(up.line, spans), *(row for row in within if row.kind == "totals_not_sent")],
        "host_unconfirmed": [row for row in segment.rows if row.kind == "settlement_unconfirmed"],
        "host_silent": [row for row in within if row.kind in REFUSED and not _code(row)],
        "sign_in": [row for row in within if row.kind == "sign_in_failed"],
        "postponed": [row for row in within if row.kind == "settlement_postponed" and "clock" not in _because(row)],
    }
    found = [(code, rows) for code, rows in causes.items() if rows]
    if not found and not up.unknown_at(due_ms):
        found = [("configuration", [])]  # posd was up and nothing was in the way: it was not due then
    for code, rows in found:
        yield {"code": code, "text": words.DAY_CAUSE[code], "evidence": [_evidence(row, around) for row in _few(rows)]}


def _held(due_ms: int, segment: Segment) -> list[Row]:
    """Held above the maximum, until it was approved if it was."""
    held = [row for row in segment.rows if row.kind == "settlement_held"]
    approved = [row for row in segment.rows if row.kind == "settlement_approved"]
    if not held or (approved and approved[0].at_ms <= due_ms):
        return []
    return [*held, *approved]


def _restored(due_ms: int, segment: Segment) -> list[Row]:
    """An older journal was restored, and nobody had ended what was not known since (core/restored.py)."""
    begun = [row for row in segment.rows if row.kind == "lane_restored"]
    ended = [row for row in segment.rows if row.kind == "gap_resolved"]
    if ended and ended[-1].at_ms > due_ms:
        return [*begun, *ended]
    return [*begun] if begun and not ended else []


def _of_gaps(gaps: Iterable[Gap], spans: list[tuple[int, int]]) -> list[Row]:
    """The rows of the first gap that covers a time at which it should have gone on."""
    return next((list(gap.rows) for gap in gaps if any(gap.touches(*span) for span in spans)), [])


def _because(row: RecordView) -> str:
    return str(json.loads(row.payload)["because"])


def _code(row: RecordView) -> str:
    return str(json.loads(row.payload).get("code", ""))


def _few(rows: list[Row]) -> list[Row]:
    return rows if len(rows) <= EVIDENCE_MAX else [*rows[: EVIDENCE_MAX - 1], rows[-1]]


def _evidence(row: Row, around: Around) -> View:
    """A row with its words; any other kind is only there as the last that a killed daemon wrote."""
    kind = row.kind if isinstance(row, RecordView) else row.mti
    facts: View = {"what": kind}
    if isinstance(row, RecordView) and (kind in words.EVENT or kind in words.BESIDE):
        facts = facts_of(json.loads(row.payload), around)
    else:
        kind = "last_row"
    return {
        "sequence": row.sequence,
        "at": around.when(row.at_ms),
        "kind": kind,
        "facts": facts,
        "text": words.event(kind, facts),
    }
