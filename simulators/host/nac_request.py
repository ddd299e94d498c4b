"""One NAC request as the acquirer reads it, what kind it is, and the fields that its answer has (reference 2.2-2.4).

Knows nothing of money: what an answer says is decided in nac_financial.py, nac_reversal.py and nac_settlement.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from posd.iso8583.message import Message
from simulators.host.faults import pan_of
from simulators.host.nac_books import Books, Kind, Terminal
from simulators.host.request import MILLISECONDS, SEQUENCE_MAX, HostClock, host_clock
from simulators.host.settings import Behaviour, NacBehaviour

APPROVED = "00"
APPROVE_CODES = frozenset({"00", "08", "11"})
MONEY = frozenset({"0100", "0200", "0220", "0400", "0320"})
AUTHORISED = frozenset({"0100", "0200"})
ECHOED = (3, 11, 24, 41)

KINDS = {
    ("0100", "00"): Kind.PRE_AUTH,
    ("0100", "30"): Kind.PRE_AUTH,
    ("0200", "00"): Kind.SALE,
    ("0200", "01"): Kind.SALE,
    ("0200", "20"): Kind.REFUND,
    ("0200", "02"): Kind.VOID,
    ("0200", "22"): Kind.VOID,
    ("0220", "00"): Kind.OFFLINE_SALE,
    ("0220", "20"): Kind.OFFLINE_REFUND,
    ("0220", "02"): Kind.ADJUST,
    ("0220", "22"): Kind.ADJUST,
}
"""By MTI and the first two digits of the processing code (reference 2.3); the others say account and "more follows"."""


@dataclass(frozen=True, slots=True, repr=False)
class NacRequest:
    """A readable request of a known terminal. `refuse`: a code that a fault rule asks for. `mti`: repeats as firsts.

    `remarks` is what is odd about it, `findings` what a settlement found, as masked events.
    """

    message: Message
    mti: str
    terminal: Terminal
    books: Books
    nac: NacBehaviour
    behaviour: Behaviour
    stan: int
    now_ms: int
    refuse: str | None = None
    remarks: list[str] = field(default_factory=list)
    findings: list[dict[str, object]] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The processing code, field 3; '' when it is absent."""
        return self.message.get(3) or ""

    @property
    def kind(self) -> Kind | None:
        """What is asked: a 0220 with the reference of a pre-authorisation completes it."""
        kind = KINDS.get((self.mti, self.code[:2]))
        if kind is Kind.OFFLINE_SALE and self.message.get(37) is not None:
            return Kind.COMPLETION
        return kind

    @property
    def pan(self) -> str:
        return pan_of(self.message)

    @property
    def amount_minor(self) -> int:
        """Field 4 in minor units; 0 when it is absent."""
        return int(self.message.get(4) or "0")

    @property
    def clock(self) -> HostClock:
        """The host's own wall clock at this request."""
        return host_clock(self.now_ms // MILLISECONDS, self.behaviour.utc_offset_minutes)

    def find(self, event: str, **facts: object) -> None:
        """Note an event of this terminal's settlement for whoever watches."""
        self.findings.append({"event": event, "tid": self.terminal.settings.tid, **facts})

    def next_rrn(self) -> str:
        """A retrieval reference that never repeats in a run."""
        self.books.sequence += 1
        return f"{self.clock.rrn_prefix}{self.books.sequence % SEQUENCE_MAX:06d}"

    def next_approval(self) -> str:
        """Field 38: six digits."""
        return f"{(self.books.sequence * 7919 + 100_003) % 1_000_000:06d}"

    def reply(self, code: str, more: Mapping[int, str | None] | None = None) -> Message:
        """The answer with echoed fields, host time, a new reference and field 39. `more` is added last."""
        clock = self.clock
        fields = {number: self.message.get(number) for number in ECHOED}
        fields |= {12: clock.hhmmss, 13: clock.mmdd, 39: code}
        if self.mti in MONEY:
            fields[4] = self.message.get(4)
        if self.mti != "0800":
            fields[37] = self.next_rrn()
        if self.mti in AUTHORISED and code in APPROVE_CODES:
            fields[38] = self.next_approval()
        fields |= more or {}
        return Message(answer_mti(self.mti), {n: value for n, value in sorted(fields.items()) if value is not None})


def answer_mti(mti: str) -> str:
    """0200 -> 0210; a repeat (0201, 0401) is answered as the first."""
    return f"{mti[:2]}{int(mti[2]) + 1}0"


def first_mti(mti: str) -> str:
    """0401 and 0420 are reversals, 0221 and 0321 repeats (reference 2.6, L)."""
    plain = f"{mti[:3]}0"
    return "0400" if plain == "0420" else plain
