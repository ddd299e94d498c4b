"""The terminal itself: its counters, its keys, its log, and what it says and understands (reference 1.4-1.10).

Pure: bytes in, bytes out; client.py moves them. It builds one message for each step; matrix.py adds the other kinds
of 1.8, uploads.py the batch upload, reading.py reads the answers. Its log holds card numbers in memory only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from posd.iso8583.codec import Codec, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.values import BatchNumber, Stan, next_batch_number, next_stan
from simulators.chip import Tags, write_55
from simulators.crypto import BLOCK_BYTES, SIGN_IN_SM4, WorkingKeys, pin_block
from simulators.fields import Field60, Field61, Totals, UploadRecord
from simulators.host.kinds import MATRIX, Kind, Row, Side
from simulators.macs import USUAL, Keying, encrypt_track
from simulators.terminal import reading, uploads
from simulators.terminal.chip_card import Chip, in_reversal
from simulators.terminal.logbook import CardInHand, Logged, Sent
from simulators.terminal.reading import DOMESTIC_SCHEME

__all__ = [
    "CURRENCY",
    "DOMESTIC_SCHEME",
    "MAC_PLACE",
    "NO_TRACK_53",
    "TRACK_TAIL",
    "CardInHand",
    "Logged",
    "Sent",
    "Terminal",
]

MAC_PLACE = "00" * BLOCK_BYTES
CURRENCY = "156"
OPERATOR = "01 "
FINANCIAL_REST = "500"
TRACK_TAIL = "2010000012345678"
TRACK_DIGITS_MAX = 37
NO_TRACK_53 = "0600000000000000"
NO_DATE = "0000"
REASON_NO_ANSWER = "98"


@dataclass(slots=True, repr=False)
class Terminal:
    """One terminal. Without a `tmk` it has no keys: no MAC, no PIN block, field 62 is ignored.

    `holds`: approved pre-authorisations by (batch, trace), kept over closes. `today`: YYMMDD for tag 9A; an 0810 sets
    month and day.
    """

    tid: str
    mid: str
    tmk: bytes | None = None
    batch: int = 1
    stan: int = 1
    sign_in_code: str = "003"
    codec: Codec = UNIONPAY
    keys: WorkingKeys | None = None
    log: dict[int, Logged] = field(default_factory=dict)
    holds: dict[tuple[int, int], Logged] = field(default_factory=dict)
    today: str = "261122"
    settled_groups: tuple[bool, bool] = (True, True)
    keying: Keying = USUAL
    totals_groups: int = 2

    def sign_in(self) -> Sent:
        return self.management("sign_in", "0800", self.sign_in_code, {63: OPERATOR})

    def sign_off(self) -> Sent:
        return self.management("sign_off", "0820", "002")

    def echo(self) -> Sent:
        """Without field 11; the trace is not consumed (1.6)."""
        return self.request("echo", Message("0820", {**self._identity(), 60: self._field60("00", "301")}))

    def sale(self, card: CardInHand, amount_minor: int) -> Sent:
        return self.financial("sale", Kind.SALE, card, {4: f"{amount_minor:012d}"})

    def balance(self, card: CardInHand) -> Sent:
        return self.financial("balance", Kind.BALANCE, card, {})

    def changes(self, of_stan: int) -> list[Logged]:
        """Adjustments and tips of a logged sale that stand, the newest last."""
        named = Field61(self.batch, of_stan).format()
        every = (one for one in self.log.values() if one.kind in (Kind.ADJUST, Kind.TIP) and one.approved)
        return [one for one in every if one.sent.message.get(61) == named]

    def void(self, of_stan: int) -> Sent:
        """Void a logged sale, tip included: by field 37 and field 61. KeyError if this terminal has no such sale."""
        sale, changes = self.log[of_stan], self.changes(of_stan)
        amount = (changes[-1] if changes else sale).sent.message.get(4)
        more = {4: amount, 37: sale.rrn, 38: sale.approval, 53: NO_TRACK_53}
        more[61] = Field61(self.batch, of_stan).format()
        return self.financial("void", Kind.SALE_VOID, CardInHand(sale.pan, "", "012"), more)

    def refund(self, card: CardInHand, amount_minor: int, rrn: str, date: str) -> Sent:
        """A 0220 refund of a sale of another batch: its reference and its date MMDD (1.4, 1.8)."""
        more: dict[int, str | None] = {4: f"{amount_minor:012d}", 37: rrn, 61: Field61(0, 0, date).format(), 63: "000"}
        return self.financial("refund", Kind.REFUND, card, more)

    def reverse(self, stan: int, reason: str = REASON_NO_ANSWER) -> Sent:
        """The 0400 of a logged request: its trace, its fields 3, 4 and 60; fields 55 and 61 by 1.10."""
        logged = self.log[stan]
        original = logged.sent.message
        kept = {number: original.get(number) for number in (2, 3, 4, 11, 14, 22, 23, 25, 41, 42, 49, 60)}
        kept |= {38: logged.approval, 39: reason, 61: self._reversal61(logged, stan)}
        if logged.tags and MATRIX[logged.kind].reversal61 == 0:
            kept[55] = in_reversal(logged.tags)
        message = Message("0400", {n: value for n, value in sorted(kept.items()) if value is not None})
        return self.request("reverse", self._with_mac(message))

    def _reversal61(self, logged: Logged, stan: int) -> str | None:
        """The request's own batch and trace where it named an original itself; twelve or sixteen digits."""
        row = MATRIX[logged.kind]
        if not row.originals and logged.kind is not Kind.REFUND:
            return None
        batch = Field60.parse(logged.sent.message.get(60)).batch
        return Field61(batch, stan, NO_DATE if row.reversal61 == 16 else None).format()

    def settle(self) -> Sent:
        """The 0500 with this terminal's own totals, in two groups or in one."""
        domestic, foreign = self.totals(False), self.totals(True)
        both = self.totals_groups > 1
        groups = domestic.format() + foreign.format() if both else domestic.plus(foreign).format()
        return self.management("settle", "0500", "201", {48: groups, 49: CURRENCY, 63: OPERATOR})

    def uploads(self) -> Iterable[Sent]:
        """The batch upload by what the totals said, without the end message (1.7)."""
        return uploads.uploads(self)

    def end(self) -> Sent:
        """207 after agreed totals, 202 otherwise, with the number of all uploaded records."""
        agreed = all(self.settled_groups)
        count = f"{uploads.count(self):04d}"
        return self.management("settle_end", "0320", "207" if agreed else "202", {48: count})

    def totals(self, foreign: bool) -> Totals:
        """One group of field 48 by this terminal's log (the table of 1.6)."""
        counted = [one for one in self.log.values() if one.counts and one.foreign is foreign]
        debit = [one.amount_minor for one in counted if not one.credit]
        credit = [one.amount_minor for one in counted if one.credit]
        return Totals(sum(debit), len(debit), sum(credit), len(credit))

    def records(self) -> tuple[UploadRecord, ...]:
        """What goes eight a message: magnetic online transactions of groups that did not agree (1.7, type 3)."""
        return uploads.records(self)

    def answers(self, sent: Sent, answer: Message) -> bool:
        """Is this the answer to that request? By MTI, terminal and trace (echo: without a trace)."""
        return (
            int(answer.mti) == int(sent.message.mti) + 10
            and answer.get(41) == self.tid
            and (answer.get(11) == sent.message.get(11) or sent.do == "echo")
        )

    def take(self, sent: Sent, answer: Message, body: bytes) -> dict[str, object]:
        """Read the answer of a request: log, keys, batch; the result as JSON-ready values without card data."""
        return reading.take(self, sent, answer, body)

    def result(self, sent: Sent, outcome: str) -> dict[str, object]:
        """The result line of a step before its answer is read; amounts in minor units."""
        amount = sent.message.get(4)
        return {
            "do": sent.do,
            "stan": sent.stan,
            "batch": self.batch,
            "code": None,
            "rrn": None,
            "amount": int(amount) if amount else None,
            "outcome": outcome,
        }

    def original(self, named: Field61) -> Logged:
        """A logged line, or a hold of an earlier batch. KeyError if there is none."""
        if named.batch == self.batch and named.stan in self.log:
            return self.log[named.stan]
        return self.holds[named.batch, named.stan]

    def next_batch(self) -> None:
        """The close is done: the next number, an empty log; holds stay."""
        self.batch = int(next_batch_number(BatchNumber(self.batch)))
        self.log.clear()

    def financial(self, do: str, kind: Kind, card: CardInHand, more: Mapping[int, str | None]) -> Sent:
        """Build and log a request of 1.8; `more` comes last. Advices count from here on: they happened (1.9)."""
        row, stan = MATRIX[kind], self._next_stan()
        fields: dict[int, str | None] = {3: row.processing, 11: stan, 22: card.entry, 25: row.condition}
        fields |= {**self._identity(), 49: CURRENCY, 60: self._field60(row.type_code, f"000{FINANCIAL_REST}")}
        fields |= self._stored_card(card) if row.advice else self._card_fields(card)
        tags = self._tags(row, card, int(stan), int(more.get(4) or "0"))
        if tags is not None:
            fields |= {23: card.sequence, 55: write_55(tags)}
        fields |= more
        message = Message(row.mti, {n: value for n, value in sorted(fields.items()) if value is not None})
        sent = self.request(do, self._with_mac(message))
        logged = Logged(sent, card.pan, kind=kind, batch=self.batch, tags=tags, credit=row.side is Side.CREDIT)
        if row.advice:
            logged.approved, logged.amount_minor = True, int(more.get(4) or "0")
        self.log[sent.stan] = logged
        return sent

    def notice(self, do: str, more: Mapping[int, str | None]) -> Sent:
        """A 0620: with MAC, not logged (1.3, 1.11)."""
        fields: dict[int, str | None] = {11: self._next_stan(), **self._identity(), 60: self._field60("00", "951")}
        fields |= more
        kept = {number: value for number, value in sorted(fields.items()) if value is not None}
        return self.request(do, self._with_mac(Message("0620", kept)))

    def download(self, do: str, mti: str, code: str, block: bytes) -> Sent:
        """A 0800 or 0820 of 36x, 37x or 38x; `block` is field 62, if there is any."""
        return self.management(do, mti, code, {62: block.hex().upper()} if block else None)

    def _tags(self, row: Row, card: CardInHand, stan: int, amount_minor: int) -> Tags | None:
        """Field 55 where a chip was read and the kind has it: not where an original is named (1.8)."""
        if not card.chip or row.originals or row.kind is Kind.REFUND:
            return None
        chip = Chip(card.pan, stan, amount_minor, self.today)
        return chip.offline() if row.kind is Kind.EC_SALE else chip.request()

    def _stored_card(self, card: CardInHand) -> dict[int, str | None]:
        """The card of an advice: never a track, never a PIN (1.9)."""
        return {2: card.pan, 14: card.expiry or None}

    def _card_fields(self, card: CardInHand) -> dict[int, str | None]:
        typed = card.entry.startswith("01")
        track = f"{card.pan}={card.expiry}{TRACK_TAIL}"[:TRACK_DIGITS_MAX]
        fields: dict[int, str | None] = {2: card.pan, 14: card.expiry or None} if typed else {2: card.pan, 35: track}
        if card.pin is not None and self.keys is not None:
            fields |= {26: "12", 52: self._pin_block(self.keys.pik, card.pin, card.pan)}
            fields[53] = f"2{self._security_digit()}00000000000000"
        return self._with_encrypted_track(fields)

    def _with_encrypted_track(self, fields: dict[int, str | None]) -> dict[int, str | None]:
        """Track 2 under the TDK, and field 53 saying so, where that was agreed and there is a key."""
        track = fields.get(35)
        if self.keying.tracks != "encrypted" or track is None or self.keys is None or self.keys.tdk is None:
            return fields
        control = fields.get(53) or f"0{self._security_digit()}00000000000000"
        return fields | {35: encrypt_track(self.keys.tdk, track), 53: f"{control[:2]}1{control[3:]}"}

    def _pin_block(self, pik: bytes, pin: str, pan: str) -> str:
        size = self.keying.sm4_pin_block_bytes if self.sign_in_code == SIGN_IN_SM4 else BLOCK_BYTES
        return pin_block(pik, pin, pan, size).hex().upper()

    def _security_digit(self) -> str:
        """Field 53 digit 2 (1.5): the algorithm of the working keys."""
        if self.sign_in_code == SIGN_IN_SM4:
            return self.keying.sm4_security_digit
        return "6" if self.keys is not None and len(self.keys.pik) > BLOCK_BYTES else "0"

    def management(self, do: str, mti: str, code: str, more: Mapping[int, str] | None = None) -> Sent:
        fields = {11: self._next_stan(), **self._identity(), 60: self._field60("00", code), **(more or {})}
        return self.request(do, Message(mti, dict(sorted(fields.items()))))

    def _identity(self) -> dict[int, str]:
        return {41: self.tid, 42: self.mid}

    def _field60(self, type_code: str, rest: str) -> str:
        return f"{type_code}{self.batch:06d}{rest}"

    def _next_stan(self) -> str:
        stan, self.stan = self.stan, int(next_stan(Stan(self.stan)))
        return f"{stan:06d}"

    def _with_mac(self, message: Message) -> Message:
        return message if self.keys is None else message.with_({64: MAC_PLACE})

    def request(self, do: str, message: Message) -> Sent:
        body = self.codec.encode(message)
        if message.get(64) is not None and self.keys is not None:
            body = replace_mac(body, self.keying.mac(self.keys.mak, body[:-BLOCK_BYTES]))
        return Sent(do, message, body)
