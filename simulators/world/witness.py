"""The witness: watches everything that becomes durable and everything that leaves, at the moment it does (P1, P5).

It knows records by their names in the journal and reads their payloads as any reader of the journal would. It must
never use the engine's own fold: two readings of one journal.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from posd.core import effects as fx
from posd.core.answers import ExchangeKind
from posd.daemon.till.orders import ANSWER
from posd.framing.tpdu import split
from posd.iso8583.codec import Codec
from posd.iso8583.unionpay import UNIONPAY
from posd.journal.contract import MessageRow, RecordRow, Row
from posd.profiles.contract import Outgoing
from simulators.host.request import APPROVE_CODES
from simulators.world.confirming import Confirming
from simulators.world.stage import Stage

EXPLAINS = {
    ExchangeKind.SIGN_IN: "sign_in_started",
    ExchangeKind.ECHO: "echo_started",
    ExchangeKind.TRANSACTION: "authorisation_started",
    ExchangeKind.REVERSAL: "reversal_attempted",
    ExchangeKind.TOTALS: "totals_asked",
    ExchangeKind.UPLOAD: "upload_sent",
    ExchangeKind.TRAILER: "trailer_sent",
}
"""The record that has to be durable before a message of each kind leaves, once for each time it leaves."""

REMEMBERED = frozenset({"authorisation_started", "advice_stored", "refund_resolved"})
ADVICE_IS_OVER = ("advice_acknowledged", "advice_refused", "advice_settled", "advice_cancelled", "advice_resolved")
TAKEN_BACK = (
    "reversal_owed",
    "outcome_unknown",
    "original_refused_in_advance",
    "declined",
    "advice_cancelled",
    "not_sent",
)
"""One of these has to be durable before a terminal's 0400 is answered 00 (D16, D17)."""

NEW_QUESTION = frozenset({"batch_closed", "batch_number_set"})
"""After these the totals are asked for the first time."""

Key = tuple[str, str, object]


@dataclass(slots=True)
class Witness:
    """`pans`: the canaries that no clear column may hold. `refunds_repeat`: the acquirer wants one repeat (D13)."""

    stage: Stage
    pans: tuple[str, ...]
    refunds_repeat: bool = False
    codec: Codec = UNIONPAY
    header_bytes: int = 6
    refunds_are_reversed: bool = False
    """In NAC they are, where the acquirer takes it (reference 2.6)."""
    pin_blocks: set[str] = field(default_factory=set)
    numbers: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Request id -> (TID, batch number, STAN) of its authorisation towards the host."""
    left_ms: dict[str, int] = field(default_factory=dict)
    """Request id -> when it was last given to the line."""
    refunds: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    """Refunds of which a person, or the answer to the repeat, said that they happened (D13)."""
    good_approvals: set[tuple[str, int]] = field(default_factory=set)
    """(TID, STAN) of which an unspoilt approval was delivered to posd."""
    first_attempts: set[tuple[str, int]] = field(default_factory=set)
    """(TID, STAN) of advices that left once."""
    lost: set[str] = field(default_factory=set)
    """Requests of which something was durable that is in no journal any more (loss.py)."""
    _since_backup: set[str] | None = None
    _stans: dict[tuple[str, int], object] = field(default_factory=dict)
    """(TID, STAN) -> what it was used for, in this journal or in one that was lost."""
    _settled: set[tuple[str, int]] = field(default_factory=set)
    """(TID, batch number) that the host was told the end of."""
    _records: Counter[Key] = field(default_factory=Counter)
    _left: Counter[Key] = field(default_factory=Counter)
    _frames: set[bytes] = field(default_factory=set)
    _reversing: set[str] = field(default_factory=set)
    _closes: Counter[str] = field(default_factory=Counter)
    """TID -> how many batches it closed, or a person gave another number: which question its totals are (D7)."""
    _totals: dict[tuple[str, int], bytes] = field(default_factory=dict)
    confirming: Confirming = field(init=False)
    _canaries: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self.confirming = Confirming(self.stage)
        self._canaries = re.compile("|".join(self.pans))

    def backed_up(self) -> None:
        """From here on everything may be lost."""
        self._since_backup = set()

    def restored(self) -> None:
        """What was durable since the backup is not known any more; totals that were asked since are no first ones."""
        self.lost |= self._since_backup or set()
        self._since_backup = None
        self._totals.clear()
        self.confirming.forgotten(self.lost)

    # --- what becomes durable --------------------------------------------------------------------------------------

    def durable(self, rows: Iterable[Row]) -> None:
        """These rows are in the store."""
        for row in rows:
            self._no_canary(row)
            match row:
                case RecordRow(tid=tid, kind=kind, request_id=request_id, stan=stan):
                    self._records[tid, kind, request_id or (stan if kind != "echo_started" else None)] += 1
                    if self._since_backup is not None and request_id is not None:
                        self._since_backup.add(request_id)
                    if kind == "batch_closed" and json.loads(row.payload)["outcome"] != "unconfirmed":
                        self._settled.add((tid, row.batch or 0))
                    self._closes[tid] += kind in NEW_QUESTION
                    self.confirming.durable(row)
                    if kind in REMEMBERED and request_id is not None:
                        self._remember(tid, kind, request_id, json.loads(row.payload))
                case MessageRow(direction="out", raw=raw):
                    self._frames.add(raw)
                case _:
                    pass
        self.confirming.committed()

    def _remember(self, tid: str, kind: str, request_id: str, payload: dict[str, Any]) -> None:
        if kind in ("authorisation_started", "advice_stored"):
            self._authorised(tid, request_id, payload)
            if payload["kind"] == "refund":
                self.refunds.add(request_id)
        elif payload["happened"]:
            self.resolved.add(request_id)

    def _authorised(self, tid: str, request_id: str, payload: dict[str, Any]) -> None:
        if request_id in self.numbers:
            self.stage.violate(f"{request_id} was authorised twice: a request is never sent again (D6, D12)")
        self.numbers[request_id] = (tid, payload["batch_number"], payload["stan"])

    def _no_canary(self, row: Row) -> None:
        """P5: no card number, track or PIN block in the clear; sealed: never more than the facts."""
        clear = row.payload if isinstance(row, RecordRow) else row.fields
        if self._canaries.search(clear) or self._canaries.search(row.request_id or ""):
            self.stage.violate(f"a card number stands in the clear in a row {_name(row)} (P5)")
        sealed = (row.secret or b"").decode()
        for text in (clear, sealed):
            if any(block in text for block in self.pin_blocks):
                self.stage.violate(f"a PIN block stands in a row {_name(row)} (P5)")
        if "=" in sealed or "track" in sealed:
            self.stage.violate(f"track data is sealed in a row {_name(row)} (P5)")

    # --- what leaves -----------------------------------------------------------------------------------------------

    def leaves_for_host(self, tid: str, message: fx.ToHost, outgoing: Outgoing) -> None:
        """A message is handed to the line."""
        self._number_is_new(tid, message, outgoing)
        if isinstance(message.message, fx.SendAdvice):
            self._advice_leaves(tid, message, outgoing)
            return
        subject: object = message.request_id or outgoing.stan
        key: Key = (tid, EXPLAINS[message.kind], subject)
        self._left[key] += 1
        explained = self._records[key]
        if message.kind is ExchangeKind.TRANSACTION and message.request_id is not None:
            explained += self._records[tid, "refund_repeated", message.request_id]
            self._transaction_leaves(message.request_id, self._left[key], outgoing.frame)
        if self._left[key] > explained or outgoing.frame not in self._frames:
            self.stage.violate(f"{outgoing.mti} ({message.kind}) left before its record was durable (P1)")
        if message.kind is ExchangeKind.REVERSAL and message.request_id is not None:
            self._reversing.add(message.request_id)
            if message.request_id in self.refunds and not self.refunds_are_reversed:
                self.stage.violate(f"{message.request_id} is a refund, and is reversed (D13)")
        if message.kind is ExchangeKind.TOTALS and isinstance(message.message, fx.SendTotals):
            self._asked_once(tid, message.message)
            self.confirming.totals_leave(tid)

    def _number_is_new(self, tid: str, message: fx.ToHost, outgoing: Outgoing) -> None:
        """A trace number has one use, for ever; what an upload tells has the number of what it tells of."""
        if outgoing.stan is None or message.kind is ExchangeKind.UPLOAD:
            return
        use: object = message.request_id or message.kind
        if self._stans.setdefault((tid, outgoing.stan), use) != use:
            self.stage.violate(f"{tid}: STAN {outgoing.stan} of {self._stans[tid, outgoing.stan]} is used for {use}")
        if isinstance(message.message, fx.SendTotals) and (tid, message.message.batch_number) in self._settled:
            self.stage.violate(f"{tid}: batch {message.message.batch_number} is settled a second time (D18)")

    def _advice_leaves(self, tid: str, message: fx.ToHost, outgoing: Outgoing) -> None:
        """An attempt: durable, not over yet, and without what must not be kept (reference 1.9, P5)."""
        of = message.request_id
        assert of is not None
        key: Key = (tid, "advice_attempted", of)
        self._left[key] += 1
        (self.first_attempts.discard if self._left[key] > 1 else self.first_attempts.add)((tid, self.numbers[of][2]))
        self.left_ms[of] = self.stage.now_ms
        if self._left[key] > self._records[key] or outgoing.frame not in self._frames:
            self.stage.violate(f"{outgoing.mti} (advice) left before its record was durable (P1)")
        if of not in self.lost and any(self._records[tid, kind, of] for kind in ADVICE_IS_OVER):
            self.stage.violate(f"the advice {of} is over, and was sent again")
        sent = self.codec.decode(split(outgoing.frame, self.header_bytes)[1])
        if any(sent.get(number) is not None for number in (35, 36, 52)):
            self.stage.violate(f"the advice {of} carries a track or a PIN block")

    def _transaction_leaves(self, request_id: str, times: int, frame: bytes) -> None:
        """Once; a refund once more where the acquirer wants that, and never with a PIN block (D12, D13)."""
        self.left_ms[request_id] = self.stage.now_ms
        if times == 1:
            return
        self.stage.count("a refund is repeated")
        if times > (2 if self.refunds_repeat else 1):
            self.stage.violate(f"{request_id} was sent {times} times (D12, D13)")
        sent = self.codec.decode(split(frame, self.header_bytes)[1])
        if sent.get(52) is not None or (sent.get(53) or "")[2:3] == "1":
            self.stage.violate(f"{request_id} was sent again with its PIN block or encrypted tracks (D12)")

    def _asked_once(self, tid: str, message: fx.SendTotals) -> None:
        """D20: a repeat of the totals carries the STAN and the totals of the first."""
        asked = f"{message.stan} {message.totals}".encode()
        first = self._totals.setdefault((tid, self._closes[tid]), asked)
        if asked != first:
            self.stage.violate(f"the totals of batch {message.batch_number} were asked otherwise the second time (D20)")

    def on_the_wire(self, message: fx.ToHost) -> None:
        """The line takes a message: never a request after its own reversal (D2)."""
        if message.kind is ExchangeKind.TRANSACTION and message.request_id in self._reversing:
            self.stage.violate(f"{message.request_id} left after its own reversal (D2)")

    def leaves_for_terminal(self, tid: str, answer: fx.ToTerminal, outgoing: Outgoing) -> None:
        """An answer is handed to the door."""
        if outgoing.frame not in self._frames:
            self.stage.violate(f"{outgoing.mti} left for terminal {tid} before it was durable (P1)")
        if not isinstance(answer.answer, fx.Result) or answer.answer.request_id is None:
            return
        request_id, code = answer.answer.request_id, answer.answer.facts.code
        if outgoing.mti == "0410" and code == "00":
            if not any(self._records[tid, kind, request_id] for kind in TAKEN_BACK):
                self.stage.violate(f"a reversal of {request_id} was promised before it was durable (D16)")
        elif outgoing.mti in ("0110", "0210", "0230", ANSWER) and code in APPROVE_CODES:
            self._approval_is_true(tid, request_id)

    def _approval_is_true(self, tid: str, request_id: str) -> None:
        if self._records[tid, "reversal_owed", request_id] and request_id not in self.lost:
            self.stage.violate(f"{request_id} was told approved, and its reversal is owed (D16)")
        if self._records[tid, "advice_stored", request_id]:
            return  # the fact is ours to deliver: whether the host has it is the audit's business
        if not self._records[tid, "approved", request_id] and request_id not in self.resolved:
            self.stage.violate(f"{request_id} was told approved before that was durable (P1)")
        if request_id in self.resolved:
            return  # how that was found out is the audit's business
        numbers = self.numbers.get(request_id)
        if numbers is None or (tid, numbers[2]) not in self.good_approvals:
            self.stage.violate(f"{request_id} was told approved without an approval that can be trusted (D10)")


def _name(row: Row) -> str:
    return row.kind if isinstance(row, RecordRow) else f"{row.mti} {row.direction}"
