"""What the journal says of each request and each close, read by the records' names from the first to the last."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from posd.journal.contract import RecordView

BECOMES = {
    "approved": "approved",
    "declined": "declined",
    "outcome_unknown": "unknown",
    "not_sent": "not sent",
    "reversal_owed": "owed",
    "reversal_needs_sign_in": "owed",
    "reversal_unanswered": None,
    "reversal_refused": None,
    "reversal_acknowledged": "reversed",
    "reversal_stuck": "stuck",
    "reversal_conflict": "conflict",
    "reversal_reopened": "owed",
    "reversal_retry_wanted": "owed",
    "reversal_resolved": "resolved",
    "refund_in_doubt": "in doubt",
    "advice_acknowledged": "approved",
    "advice_settled": "approved",
    "advice_refused": "refused",
    "advice_cancelled": "cancelled",
    "advice_resolved": "resolved",
}
"""What each record makes of its request; None: nothing new."""

TROUBLES = frozenset(
    {
        "reversal_carried_over",
        "reversal_owed",
        "reversal_conflict",
        "late_answer",
        "refund_in_doubt",
        "advice_carried_over",
        "advice_refused",
        "advice_resolved",
    }
)
"""What may put a batch out of balance."""


@dataclass(slots=True)
class Known:
    """One request as the journal has it."""

    request_id: str
    tid: str
    batch: int
    stan: int
    kind: str
    amount: int
    status: str = "sent"
    code: str = ""
    doubted: bool = False
    evidence: str = ""
    advice: bool = False
    doubtful: bool = False
    confirm: bool = False
    handed_over: bool = False
    reference: str = ""
    original: str = ""
    closes_before: int = 0
    attempts: int = 0
    approved_late: bool = False
    ended_late: bool = False
    """People ended this advice when the batch that counts it was closed: it is between them and the bank."""


@dataclass(slots=True)
class Close:
    """One batch's end as the journal has it."""

    tid: str
    number: int
    begun_ms: int
    due_ms: int | None
    outcome: str
    troubles: list[str] = field(default_factory=list)
    ends_sent: int = 0


@dataclass(slots=True)
class Ledger:
    """The journal, read from the first record to the last."""

    requests: dict[str, Known] = field(default_factory=dict)
    closes: list[Close] = field(default_factory=list)
    tids: set[str] = field(default_factory=set)
    _begun: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    _troubles: dict[str, list[str]] = field(default_factory=dict)
    _restored: set[str] = field(default_factory=set)
    """Terminals whose open batch is not known whole."""
    _reconciled: set[str] = field(default_factory=set)
    _ends_sent: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, records: Iterable[RecordView]) -> "Ledger":
        ledger = cls()
        for record in records:
            ledger.tids.add(record.tid)
            ledger._take(record, json.loads(record.payload))
        return ledger

    def _take(self, record: RecordView, payload: Mapping[str, Any]) -> None:
        match record.kind:
            case "authorisation_started" | "advice_stored":
                known = Known(
                    payload["request_id"],
                    record.tid,
                    payload["batch_number"],
                    payload["stan"],
                    payload["kind"],
                    payload["amount_minor"],
                )
                known.confirm, known.reference = payload.get("confirm", False), payload["reference"]
                known.original = payload["original"] or ""
                known.closes_before = self._closes_of(record.tid)
                if record.kind == "advice_stored":
                    known.status, known.advice = "stored", True
                self.requests[known.request_id] = known
            case "settlement_begun":
                self._begun[record.tid] = (record.at_ms, payload["due_ms"])
            case "lane_restored":
                self._restored.add(record.tid)
            case "gap_resolved":
                self._reconciled.add(record.tid)
            case "upload_set_aside":
                self._troubles.setdefault(record.tid, []).append(f"set aside: {payload['code']}")  # D21
            case "settlement_wanted" if payload["cause"] == "host_batch_changed":
                self._troubles.setdefault(record.tid, []).append("the host moved on to another batch")  # D7
            case "trailer_sent":
                self._ends_sent[record.tid] = payload["attempt"]
            case "batch_skipped":
                begun_ms = self._begun.pop(record.tid, (record.at_ms, None))[0]
                self._close(record, begun_ms, payload["due_ms"], "empty")
            case "batch_closed":
                begun_ms, due_ms = self._begun.pop(record.tid, (record.at_ms, None))
                self._close(record, begun_ms, due_ms, payload["outcome"])
            case _:
                self._request(record, payload)

    def _request(self, record: RecordView, payload: Mapping[str, Any]) -> None:
        known = self.requests.get(record.request_id or "")
        if known is None:
            return
        if record.kind in TROUBLES:
            self._troubles.setdefault(record.tid, []).append(f"{record.kind} {known.stan}")
        if record.kind == "advice_attempted":
            known.batch = payload["batch_number"]
            known.attempts += 1
        if record.kind == "advice_refused":
            known.code, known.doubtful = payload["code"], payload["may_be_booked"]
        if record.kind == "advice_not_booked":
            known.doubtful = False
        if record.kind == "advice_resolved":
            known.ended_late = known.closes_before != self._closes_of(record.tid)
        if record.kind == "advice_settled":
            known.evidence = payload["how"]
        if record.kind == "advice_acknowledged" and known.closes_before != self._closes_of(record.tid):
            # a host whose next batch has the same number, because it moved on before, has it there (D7, D19)
            self._troubles.setdefault(record.tid, []).append(f"delivered after its batch: {known.stan}")
        if record.kind == "advice_acknowledged" and payload["after_silence"]:
            # 94 names no scheme: it stands in the domestic group until somebody says otherwise (reference 1.6)
            self._troubles.setdefault(record.tid, []).append(f"acknowledged by 94: {known.stan}")
        if record.kind == "late_answer" and payload["approval"]:
            known.approved_late = True
        if record.kind == "answer_handed_over":
            known.handed_over = True
        if record.kind == "declined":
            known.code = payload["facts"]["code"]
        if record.kind == "refund_in_doubt":
            known.doubted = True
        if record.kind == "refund_resolved":
            known.status, known.evidence = "approved" if payload["happened"] else "not done", payload["how"]
        becomes = BECOMES.get(record.kind)
        if becomes is not None:
            known.status = becomes

    def _closes_of(self, tid: str) -> int:
        return sum(close.tid == tid for close in self.closes)

    def _close(self, record: RecordView, begun_ms: int, due_ms: int | None, outcome: str) -> None:
        number = record.batch or 0
        troubles = self._troubles.pop(record.tid, [])
        if record.tid in self._restored:
            troubles.append("an older journal was restored")
            if record.tid in self._reconciled and outcome in ("agreed", "out_of_balance"):
                self._restored.discard(record.tid)
        ends_sent = self._ends_sent.pop(record.tid, 0)
        self.closes.append(Close(record.tid, number, begun_ms, due_ms, outcome, troubles, ends_sent))
