"""One request as the acquirer reads it, and the answer fields that every kind of answer shares (1.6, 1.8, 1.10).

Knows nothing of money: what an answer says is decided in financial.py, reversal.py, settlement.py, session.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from posd.iso8583.message import Message
from simulators.chip import is_chip_entry
from simulators.fields import Field60, Unreadable
from simulators.host.books import DOMESTIC_SCHEME, Books, Terminal
from simulators.host.faults import pan_of
from simulators.host.settings import Behaviour

APPROVED = "00"
APPROVE_CODES = frozenset({"00", "10", "11", "A2", "A4", "A5", "A6"})
MAC_MTIS = frozenset({"0100", "0200", "0220", "0400", "0620"})
FINANCIAL_ECHO = (3, 4, 11, 14, 25, 41, 42, 49, 53, 60)
ECHOED = {
    "0100": FINANCIAL_ECHO,
    "0200": FINANCIAL_ECHO,
    "0220": FINANCIAL_ECHO,
    "0620": FINANCIAL_ECHO,
    "0400": (2, 3, 4, 11, 14, 23, 25, 41, 42, 49, 60),
    "0500": (11, 41, 42, 49, 60, 63),
}
ECHOED_ELSE = (11, 41, 42, 60)
WITH_SETTLEMENT_DATE = frozenset({"0100", "0200", "0220", "0400", "0500"})
MONEY = frozenset({"0100", "0200", "0220", "0400"})
INSTITUTION_CHARS = 11
SEQUENCE_MAX = 1_000_000
MILLISECONDS = 1_000


@dataclass(frozen=True, slots=True)
class HostClock:
    """One second of the host's local time as fields 12, 13/15, 14 and the head of field 37 say it."""

    hhmmss: str
    mmdd: str
    yymm: str
    rrn_prefix: str


@lru_cache(maxsize=4)
def host_clock(wall_s: int, utc_offset_minutes: int) -> HostClock:
    """The clock at a second since 1970 UTC; kept for the requests of the same second."""
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wall_s, minutes=utc_offset_minutes)
    return HostClock(f"{local:%H%M%S}", f"{local:%m%d}", f"{local:%y%m}", f"{local:%y%j%H}"[1:])


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A readable request of a known terminal. `refuse`: a code that a fault rule asks for.

    `remarks` is what is odd about it, `conformance` what of that is against the reference, `findings` what a
    settlement found, as masked events.
    """

    message: Message
    terminal: Terminal
    books: Books
    behaviour: Behaviour
    field60: Field60
    stan: int
    now_ms: int
    refuse: str | None = None
    remarks: list[str] = field(default_factory=list)
    findings: list[dict[str, object]] = field(default_factory=list)

    conformance: list[str] = field(default_factory=list)

    def deviates(self, texts: Iterable[str]) -> None:
        """Note what is against the field lists: a remark, and a conformance finding."""
        for text in texts:
            self.remarks.append(text)
            self.conformance.append(text)

    @property
    def chip(self) -> bool:
        """Was a chip read (field 22)?"""
        return is_chip_entry(self.message.get(22))

    @property
    def pan(self) -> str:
        return pan_of(self.message)

    @property
    def amount_minor(self) -> int:
        """Field 4 in minor units; 0 when it is absent."""
        return int(self.message.get(4) or "0")

    @property
    def clock(self) -> "HostClock":
        """The host's own wall clock at this request."""
        return host_clock(self.now_ms // MILLISECONDS, self.behaviour.utc_offset_minutes)

    @property
    def current_batch(self) -> bool:
        return self.field60.batch == self.terminal.batch.number

    def find(self, event: str, **facts: object) -> None:
        """Note an event of this terminal's settlement for whoever watches."""
        tid, batch = self.terminal.settings.tid, self.field60.batch
        self.findings.append({"event": event, "tid": tid, "batch": batch, **facts})

    def next_rrn(self) -> str:
        """A retrieval reference: year digit, day of the year, hour, six digits that never repeat in a run."""
        self.books.sequence += 1
        return f"{self.clock.rrn_prefix}{self.books.sequence % SEQUENCE_MAX:06d}"

    def reply(self, code: str | None, more: Mapping[int, str | None] | None = None) -> Message:
        """The answer with echoed fields, host time, institution, a new reference and field 39 (None: without).

        `more` is added last, None removes a field. Field 64 is the acquirer's business.
        """
        mti, clock = self.message.mti, self.clock
        fields = {number: self.message.get(number) for number in ECHOED.get(mti, ECHOED_ELSE)}
        fields |= {12: clock.hhmmss, 13: clock.mmdd, 32: self.behaviour.institution, 39: code}
        fields[37] = self.next_rrn()
        if mti in WITH_SETTLEMENT_DATE:
            fields[15] = clock.mmdd
        if mti in MONEY:
            fields |= self._card_fields()
        fields |= more or {}
        return Message(answer_mti(mti), {n: value for n, value in sorted(fields.items()) if value is not None})

    def _card_fields(self) -> dict[int, str | None]:
        card = self.books.cards.get(self.pan)
        issuer = self.pan[:8] if card else ""
        institutions = (issuer, self.behaviour.institution)
        text = "".join(name[:INSTITUTION_CHARS].ljust(INSTITUTION_CHARS) for name in institutions)
        fields: dict[int, str | None] = {44: text}
        if self.message.mti != "0400":
            scheme = card.settings.scheme if card else DOMESTIC_SCHEME
            fields |= {2: self.pan or None, 63: scheme + self.behaviour.remarks.wire}
        return fields


def answer_mti(mti: str) -> str:
    """0200 -> 0210: the request's MTI plus ten."""
    return f"{int(mti) + 10:04d}"


def read_stan(message: Message, *, needed: bool) -> int:
    """Field 11; 0 when it may be absent (echo) and is. Unreadable otherwise."""
    text = message.get(11)
    if text is None and not needed:
        return 0
    if text is None or not text.isdecimal() or int(text) == 0:
        raise Unreadable("field 11: a trace number from 1 to 999999 expected")
    return int(text)
