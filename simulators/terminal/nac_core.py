"""A terminal of the NAC dialect: its counters, its log, and what it says and understands (reference part 2).

Pure: bytes in, bytes out; nac_client.py moves them. Its log holds card numbers in memory only. Without a `mac_key` it
sends no MAC.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from posd.iso8583.codec import Codec, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.nac import NAC
from simulators.chip import ISSUER_AUTHENTICATION, SCRIPTS, TC, is_chip_entry, read_55, write_55
from simulators.crypto import BLOCK_BYTES
from simulators.fields import Unreadable
from simulators.macs import USUAL, Keying
from simulators.nac_fields import (
    CLOSE,
    ECHO,
    LOGON,
    SETTLE,
    TC_UPLOAD,
    Totals,
    format_original,
    next_number,
)
from simulators.terminal.chip_card import Chip
from simulators.terminal.core import CardInHand, Sent

MAC_PLACE = "00" * BLOCK_BYTES
WITH_MAC = frozenset({"0100", "0200", "0220", "0400"})
APPROVED_CODES = frozenset({"00", "08", "11"})
MORE_FOLLOWS = "1"
TRACK_TAIL = "2010000012345678"
TRACK_DIGITS_MAX = 37
SALE, REFUND, VOID, VOID_REFUND, PRE_AUTH = "000000", "200000", "020000", "220000", "300000"
NORMAL, PRE_AUTH_CONDITION = "00", "06"
REVERSED_FIELDS = (2, 3, 4, 11, 14, 22, 23, 24, 25, 37, 41, 42, 54, 62)
TOTALS_DIGITS = 90


@dataclass(slots=True, repr=False)
class Logged:
    """A line of the terminal's log. `amount_minor` is what it stands at now; `sent_mti` what it was sent as."""

    sent: Sent
    pan: str
    invoice: int
    at: str
    refund: bool = False
    counts: bool = True
    of: "Logged | None" = None
    amount_minor: int = 0
    rrn: str | None = None
    approval: str | None = None
    approved: bool = False
    voided: bool = False

    @property
    def in_batch(self) -> bool:
        """Does it stand in totals and upload? Voided, declined, reversed and pre-authorised do not (2.4)."""
        return self.approved and self.counts and not self.voided


@dataclass(slots=True, repr=False)
class NacTerminal:
    """One terminal. `clock` gives fields 12 and 13."""

    tid: str
    mid: str
    nii: str = "001"
    batch: int = 1
    stan: int = 1
    invoice: int = 1
    totals_digits: int = TOTALS_DIGITS
    mac_key: bytes = b""
    keying: Keying = USUAL
    codec: Codec = NAC
    clock: Callable[[], datetime] = datetime.now
    log: dict[int, Logged] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)

    def logon(self) -> Sent:
        return self._management("logon", "0800", LOGON, {})

    def echo(self) -> Sent:
        """Without trace and merchant (sample N2)."""
        return self._sent("echo", "0800", {3: ECHO, 24: self.nii, 41: self.tid})

    def load(self, code: str = "930000") -> Sent:
        """An 0800 that asks for parameters."""
        return self._management("load", "0800", code, {})

    def sale(self, card: CardInHand, amount_minor: int, tip_minor: int = 0) -> Sent:
        return self._financial(
            "sale", "0200", SALE, card, amount_minor, {54: _amount(tip_minor) if tip_minor else None}
        )

    def refund(self, card: CardInHand, amount_minor: int) -> Sent:
        sent = self._financial("refund", "0200", REFUND, card, amount_minor, {})
        self.log[sent.stan].refund = True
        return sent

    def preauth(self, card: CardInHand, amount_minor: int) -> Sent:
        sent = self._financial("preauth", "0100", PRE_AUTH, card, amount_minor, {25: PRE_AUTH_CONDITION})
        self.log[sent.stan].counts = False
        return sent

    def offline_sale(self, card: CardInHand, amount_minor: int, approval: str) -> Sent:
        """A 0220 for a sale that a voice authorised."""
        return self._financial("offline_sale", "0220", SALE, card, amount_minor, {38: approval, **self._now()})

    def complete(self, of_stan: int, amount_minor: int) -> Sent:
        """A 0220 that completes a pre-authorisation. KeyError if this terminal has none such."""
        held = self.log[of_stan]
        more = {37: held.rrn, 38: held.approval, **self._now()}
        return self._financial("complete", "0220", SALE, _typed(held), amount_minor, more)

    def void(self, of_stan: int) -> Sent:
        """Void a logged sale or refund under its invoice number."""
        of = self.log[of_stan]
        code = VOID_REFUND if of.refund else VOID
        more = {37: of.rrn, 38: of.approval, **self._now()}
        return self._on("void", "0200", code, of, of.amount_minor, more)

    def adjust(self, of_stan: int, amount_minor: int, tip_minor: int = 0, do: str = "adjust") -> Sent:
        """A 0220 with the new amount; field 60 says the old one. An amount of 0 is the advice of a void."""
        of = self.log[of_stan]
        code = VOID_REFUND if of.refund else VOID
        more = {37: of.rrn, 38: of.approval, 54: _amount(tip_minor) if tip_minor else None}
        return self._on(do, "0220", code, of, amount_minor, {**more, 60: _amount(of.amount_minor), **self._now()})

    def tip(self, of_stan: int, tip_minor: int) -> Sent:
        """An adjustment by a tip on top."""
        return self.adjust(of_stan, self.log[of_stan].amount_minor + tip_minor, tip_minor, "tip")

    def reverse(self, stan: int) -> Sent:
        """The 0400 of a logged request: its fields without PIN, tracks and field 39 (2.6)."""
        message = self.log[stan].sent.message
        return self._sent("reverse", "0400", {number: message.get(number) for number in REVERSED_FIELDS})

    def certificate(self, of_stan: int) -> Sent:
        """The TC upload of a chip transaction (940000): its field 55 with the card's last cryptogram."""
        one = self.log[of_stan]
        final = self._chip(one.pan, one.sent.stan, one.amount_minor).final(TC)
        tags = read_55(one.sent.message.get(55)) if one.sent.message.get(55) else {}
        return self._sent("tc", "0320", self._record(one, TC_UPLOAD) | {55: write_55(tags | final)})

    def settle(self) -> Sent:
        return self._settlement("settle", SETTLE)

    def close(self) -> Sent:
        """The closing after an upload, with the same totals."""
        return self._settlement("settle_end", CLOSE)

    def uploads(self) -> Iterable[Sent]:
        """Every transaction that counts, one a message; the last digit of field 3 says that more follow (2.3)."""
        records = [one for one in self.log.values() if one.in_batch]
        for place, one in enumerate(records, start=1):
            code = one.sent.message.get(3) or SALE
            yield self._sent(
                "upload", "0320", self._record(one, code if place == len(records) else code[:5] + MORE_FOLLOWS)
            )

    def upload(self, of_stan: int) -> Sent:
        """One record alone, whatever its state. KeyError if it is not logged."""
        one = self.log[of_stan]
        return self._sent("upload", "0320", self._record(one, one.sent.message.get(3) or SALE))

    def totals(self) -> Totals:
        """Field 63 by this terminal's log."""
        counted = [one for one in self.log.values() if one.in_batch]
        sold = [one.amount_minor for one in counted if not one.refund]
        refunded = [one.amount_minor for one in counted if one.refund]
        return Totals(len(sold), sum(sold), len(refunded), sum(refunded))

    def answers(self, sent: Sent, answer: Message) -> bool:
        """Is this the answer to that request? By MTI, terminal, trace and processing code, less its last digit."""
        codes = {(message.get(3) or "")[:5] for message in (sent.message, answer)}
        same = all(answer.get(number) == sent.message.get(number) for number in (11, 41))
        return int(answer.mti) == int(sent.message.mti) + 10 and same and len(codes) == 1

    def take(self, sent: Sent, answer: Message, body: bytes) -> dict[str, object]:
        """Read the answer of a request: log and batch; the result as JSON-ready values without card data."""
        code = answer.get(39)
        good = code in APPROVED_CODES or self._done_before(sent, code)
        result = self.result(sent, "approved" if good else "declined")
        result |= {"code": code, "rrn": answer.get(37), "approval": answer.get(38)}
        if not self._mac_fits(sent, answer, body):
            return result | {"outcome": "bad_mac"}
        match sent.do:
            case "settle":
                return result | self._settled(code)
            case "settle_end":
                return result | self._ended(code)
            case "reverse" if code == "00":
                self._reversed(self.log[sent.stan])
            case _ if sent.stan in self.log and self.log[sent.stan].sent is sent and good:
                self._approved(self.log[sent.stan], answer)
            case _:
                pass
        return result | _from_issuer(answer)

    def _done_before(self, sent: Sent, code: str | None) -> bool:
        """94 to an advice that nobody answered before: it arrived then (2.7, D14)."""
        return code == "94" and sent.message.mti == "0220" and sent.stan in self.unanswered

    def result(self, sent: Sent, outcome: str) -> dict[str, object]:
        """The result line of a step before its answer is read; amounts in minor units."""
        amount = sent.message.get(4)
        return {
            "do": sent.do,
            "stan": sent.stan,
            "batch": self.batch,
            "invoice": sent.message.get(62),
            "code": None,
            "rrn": None,
            "amount": int(amount) if amount else None,
            "outcome": outcome,
        }

    def _settled(self, code: str | None) -> dict[str, object]:
        if code == "00":
            self._next_batch()
        return {"outcome": {"00": "balanced", "95": "unbalanced"}.get(code or "", "declined")}

    def _ended(self, code: str | None) -> dict[str, object]:
        """00 closes; 77 or a second 95 closes out of balance; any other code leaves the batch open (2.5)."""
        if code in ("00", "77", "95"):
            self._next_batch()
        return {"outcome": {"00": "closed", "77": "out_of_balance", "95": "out_of_balance"}.get(code or "", "declined")}

    def _next_batch(self) -> None:
        """Pre-authorisations outlive their batch: they are completed later."""
        self.batch = next_number(self.batch)
        self.log = {stan: one for stan, one in self.log.items() if one.approved and not one.counts and one.of is None}

    def _approved(self, logged: Logged, answer: Message) -> None:
        logged.approved, logged.rrn = True, answer.get(37)
        logged.approval = answer.get(38) or logged.approval
        of = logged.of
        if of is not None and logged.sent.do == "void":
            of.voided = True
        elif of is not None:
            of.amount_minor, of.voided = logged.amount_minor, logged.amount_minor == 0

    def _reversed(self, logged: Logged) -> None:
        if logged.sent.do == "void" and logged.approved and logged.of is not None:
            logged.of.voided = False
        logged.approved = False

    def _financial(
        self, do: str, mti: str, code: str, card: CardInHand, amount_minor: int, more: Mapping[int, str | None]
    ) -> Sent:
        invoice, self.invoice = self.invoice, next_number(self.invoice)
        typed = card.entry.startswith("01")
        track = f"{card.pan}={card.expiry}{TRACK_TAIL}"[:TRACK_DIGITS_MAX]
        shown: dict[int, str | None] = {2: card.pan, 14: card.expiry or None} if typed else {2: card.pan, 35: track}
        fields = {3: code, 4: _amount(amount_minor), 22: card.entry, 25: NORMAL, 62: f"{invoice:06d}"}
        if is_chip_entry(card.entry):
            chip = self._chip(card.pan, self.stan, amount_minor)
            shown |= {23: card.sequence, 55: write_55(chip.request())}
        sent = self._numbered(do, mti, {**fields, **shown, **more})
        approval = more.get(38)
        self.log[sent.stan] = Logged(
            sent, card.pan, invoice, self._time(), amount_minor=amount_minor, approval=approval
        )
        return sent

    def _on(self, do: str, mti: str, code: str, of: Logged, amount_minor: int, more: Mapping[int, str | None]) -> Sent:
        """A message about a logged transaction: its card and invoice; it counts nowhere itself."""
        message = of.sent.message
        fields = {n: message.get(n) for n in (2, 14, 22, 25, 62)}
        sent = self._numbered(do, mti, {**fields, 3: code, 4: _amount(amount_minor), **more})
        self.log[sent.stan] = Logged(
            sent, of.pan, of.invoice, self._time(), amount_minor=amount_minor, counts=False, of=of
        )
        return sent

    def _chip(self, pan: str, stan: int, amount_minor: int) -> Chip:
        return Chip(pan, stan, amount_minor, f"{self.clock():%y%m%d}")

    def _record(self, one: Logged, code: str) -> dict[int, str | None]:
        message = one.sent.message
        kept = {number: message.get(number) for number in (2, 14, 22, 23, 25, 54, 55, 62)}
        sent_as = format_original(message.mti, one.sent.stan)
        return {
            **self._identity(),
            **kept,
            3: code,
            4: _amount(one.amount_minor),
            11: self._next_stan(),
            12: one.at[4:],
            13: one.at[:4],
            37: one.rrn,
            38: one.approval,
            60: sent_as,
        }

    def _settlement(self, do: str, code: str) -> Sent:
        more = {60: f"{self.batch:06d}", 63: self.totals().format(self.totals_digits)}
        return self._management(do, "0500", code, more)

    def _management(self, do: str, mti: str, code: str, more: Mapping[int, str | None]) -> Sent:
        return self._numbered(do, mti, {3: code, **more})

    def _numbered(self, do: str, mti: str, fields: Mapping[int, str | None]) -> Sent:
        return self._sent(do, mti, {**fields, **self._identity(), 11: self._next_stan()})

    def _identity(self) -> dict[int, str | None]:
        return {24: self.nii, 41: self.tid, 42: self.mid}

    def _next_stan(self) -> str:
        stan, self.stan = self.stan, next_number(self.stan)
        return f"{stan:06d}"

    def _now(self) -> dict[int, str | None]:
        at = self._time()
        return {12: at[4:], 13: at[:4]}

    def _time(self) -> str:
        """MMDDhhmmss."""
        return f"{self.clock():%m%d%H%M%S}"

    def _sent(self, do: str, mti: str, fields: Mapping[int, str | None]) -> Sent:
        if self.mac_key and mti in WITH_MAC:
            fields = {**fields, 64: MAC_PLACE}
        message = Message(mti, {number: value for number, value in sorted(fields.items()) if value is not None})
        body = self.codec.encode(message)
        if message.get(64) is not None:
            body = replace_mac(body, self.keying.mac(self.mac_key, body[:-BLOCK_BYTES]))
        return Sent(do, message, body)

    def _mac_fits(self, sent: Sent, answer: Message, body: bytes) -> bool:
        if not self.mac_key or sent.message.mti not in WITH_MAC:
            return True
        if answer.get(64) is None:
            return answer.get(39) not in APPROVED_CODES
        return self.keying.mac(self.mac_key, body[:-BLOCK_BYTES]) == body[-BLOCK_BYTES:]


def _from_issuer(answer: Message) -> dict[str, object]:
    """What the answer has for the chip, where one was asked about."""
    if answer.get(55) is None:
        return {}
    try:
        tags = read_55(answer.get(55))
    except Unreadable:
        return {"bad_chip_answer": True}
    found = {"issuer_authentication": ISSUER_AUTHENTICATION in tags, "script": any(tag in tags for tag in SCRIPTS)}
    return {name: True for name, there in found.items() if there}


def _amount(minor: int) -> str:
    return f"{minor:012d}"


def _typed(logged: Logged) -> CardInHand:
    """The card of an earlier transaction, as it stands in the log: typed, its track is gone."""
    return CardInHand(logged.pan, logged.sent.message.get(14) or "", "012")
