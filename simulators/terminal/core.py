"""The terminal itself: its counters, its keys, its log, and what it says and understands (reference 1.4-1.10).

Pure: bytes in, bytes out; client.py moves them. It builds one message for each step and reads the answer of
it. Its log holds card numbers in memory only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from posd.iso8583.codec import Codec, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.values import BatchNumber, Stan, next_batch_number, next_stan
from simulators.crypto import BLOCK_BYTES, SIGN_IN_SM4, WorkingKeys, open_key_block, pin_block
from simulators.fields import RECORDS_MAX, Field60, Field61, Totals, UploadRecord, format_upload
from simulators.macs import USUAL, Keying, encrypt_track

MAC_PLACE = "00" * BLOCK_BYTES
CURRENCY = "156"
OPERATOR = "01 "
FINANCIAL_REST = "500"
TRACK_TAIL = "2010000012345678"
TRACK_DIGITS_MAX = 37
APPROVED_CODES = frozenset({"00", "10", "11", "A2", "A4", "A5", "A6"})
DOMESTIC_SCHEME = "CUP"
SALE, VOID, BALANCE, REFUND = ("000000", "22"), ("200000", "23"), ("310000", "01"), ("200000", "25")
REASON_NO_ANSWER = "98"


@dataclass(frozen=True, slots=True, repr=False)
class CardInHand:
    """A card as this terminal reads it: number, expiry YYMM, entry mode (022 swiped, 012 typed), PIN or none."""

    pan: str
    expiry: str
    entry: str = "022"
    pin: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """One request: what it was for, the message, and its bytes from the MTI on."""

    do: str
    message: Message
    body: bytes

    @property
    def stan(self) -> int:
        return int(self.message.get(11) or "0")


@dataclass(slots=True, repr=False)
class Logged:
    """A line of the terminal's transaction log."""

    sent: Sent
    pan: str
    amount_minor: int = 0
    rrn: str | None = None
    approval: str | None = None
    foreign: bool = False
    approved: bool = False
    credit: bool = False


@dataclass(slots=True, repr=False)
class Terminal:
    """One terminal. Without a `tmk` it has no keys: no MAC, no PIN block, field 62 is ignored."""

    tid: str
    mid: str
    tmk: bytes | None = None
    batch: int = 1
    stan: int = 1
    sign_in_code: str = "003"
    codec: Codec = UNIONPAY
    keys: WorkingKeys | None = None
    log: dict[int, Logged] = field(default_factory=dict)
    settled_groups: tuple[bool, bool] = (True, True)
    keying: Keying = USUAL

    def sign_in(self) -> Sent:
        return self._management("sign_in", "0800", self.sign_in_code, {63: OPERATOR})

    def sign_off(self) -> Sent:
        return self._management("sign_off", "0820", "002")

    def echo(self) -> Sent:
        """Without field 11; the trace is not consumed (1.6)."""
        return self._sent("echo", Message("0820", {**self._identity(), 60: self._field60("00", "301")}))

    def sale(self, card: CardInHand, amount_minor: int) -> Sent:
        return self._financial("sale", SALE, card, {4: f"{amount_minor:012d}"})

    def balance(self, card: CardInHand) -> Sent:
        return self._financial("balance", BALANCE, card, {})

    def void(self, of_stan: int) -> Sent:
        """Void a logged sale: by field 37 and field 61. KeyError if this terminal has no such sale."""
        sale = self.log[of_stan]
        amount = sale.sent.message.get(4)
        more = {4: amount, 37: sale.rrn, 38: sale.approval, 53: "0600000000000000"}
        more[61] = Field61(self.batch, of_stan).format()
        sent = self._financial("void", VOID, CardInHand(sale.pan, "", "012"), more)
        self.log[sent.stan].credit = True
        return sent

    def refund(self, card: CardInHand, amount_minor: int, rrn: str, date: str) -> Sent:
        """A 0220 refund of a sale of another batch: its reference and its date MMDD (1.4, 1.8)."""
        more: dict[int, str | None] = {4: f"{amount_minor:012d}", 37: rrn, 61: Field61(0, 0, date).format(), 63: "000"}
        sent = self._financial("refund", REFUND, card, more, mti="0220")
        self.log[sent.stan].credit = True
        return sent

    def reverse(self, stan: int, reason: str = REASON_NO_ANSWER) -> Sent:
        """The 0400 of a logged request: its trace, its fields 3, 4 and 60; field 61 for a void (1.10)."""
        logged = self.log[stan]
        original = logged.sent.message
        kept = {number: original.get(number) for number in (2, 3, 4, 11, 14, 22, 25, 41, 42, 49, 60)}
        is_void = original.get(3) == VOID[0]
        kept |= {38: logged.approval, 39: reason}
        if is_void:
            kept[61] = Field61(Field60.parse(original.get(60)).batch, stan).format()
        message = Message("0400", {n: value for n, value in sorted(kept.items()) if value is not None})
        return self._sent("reverse", self._with_mac(message))

    def settle(self) -> Sent:
        """The 0500 with this terminal's own totals, two groups."""
        groups = "".join(self.totals(foreign).format() for foreign in (False, True))
        return self._management("settle", "0500", "201", {48: groups, 49: CURRENCY, 63: OPERATOR})

    def uploads(self) -> Iterable[Sent]:
        """The magnetic records of the groups that did not agree, eight a message (1.7)."""
        records = self.records()
        for at in range(0, len(records), RECORDS_MAX):
            yield self._management("upload", "0320", "201", {48: format_upload(records[at : at + RECORDS_MAX])})

    def end(self) -> Sent:
        """207 after agreed totals, 202 with the number of records otherwise."""
        agreed = all(self.settled_groups)
        count = f"{len(self.records()):04d}"
        return self._management("settle_end", "0320", "207" if agreed else "202", {48: count})

    def totals(self, foreign: bool) -> Totals:
        """One group of field 48 by this terminal's log: approved sales debit, approved voids credit."""
        counted = [one for one in self.log.values() if one.approved and one.foreign is foreign]
        debit = [one.amount_minor for one in counted if not one.credit]
        credit = [one.amount_minor for one in counted if one.credit]
        return Totals(sum(debit), len(debit), sum(credit), len(credit))

    def records(self) -> tuple[UploadRecord, ...]:
        return tuple(
            UploadRecord("01" if one.foreign else "00", stan, one.pan, one.amount_minor)
            for stan, one in self.log.items()
            if one.approved and not self.settled_groups[one.foreign]
        )

    def answers(self, sent: Sent, answer: Message) -> bool:
        """Is this the answer to that request? By MTI, terminal and trace (echo: without a trace)."""
        return (
            int(answer.mti) == int(sent.message.mti) + 10
            and answer.get(41) == self.tid
            and (answer.get(11) == sent.message.get(11) or sent.do == "echo")
        )

    def take(self, sent: Sent, answer: Message, body: bytes) -> dict[str, object]:
        """Read the answer of a request: log, keys, batch; the result as JSON-ready values without card data."""
        result = self.result(sent, "declined")
        result |= {"code": answer.get(39), "rrn": answer.get(37)}
        if not self._mac_fits(sent, answer, body):
            return result | {"outcome": "bad_mac"}
        match sent.do:
            case "sign_in" if answer.get(39) == "00":
                return result | self._signed_in(answer)
            case "settle":
                return result | self._settled(answer)
            case "settle_end" if answer.get(39) == "00":
                self.batch = int(next_batch_number(BatchNumber(self.batch)))
                self.log.clear()
            case "sale" | "void" | "refund" if answer.get(39) in APPROVED_CODES:
                self._approved(self.log[sent.stan], answer)
            case "reverse" if answer.get(39) == "00":
                self.log[sent.stan].approved = False
            case _:
                pass
        if answer.get(54) is not None:
            result["balances"] = answer.get(54)
        if answer.get(4) is not None:
            result["amount"] = int(answer.get(4) or "0")
        return result | ({"outcome": "approved"} if answer.get(39) in APPROVED_CODES else {})

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

    def _signed_in(self, answer: Message) -> dict[str, object]:
        self.batch = Field60.parse(answer.get(60)).batch
        if self.tmk is None:
            return {"outcome": "approved", "batch": self.batch}
        try:
            block, double = bytes.fromhex(answer.get(62) or ""), self.keying.mak == "double"
            self.keys = open_key_block(self.tmk, block, self.sign_in_code, double_mak=double)
        except ValueError as trouble:
            return {"outcome": "bad_keys", "why": str(trouble)}
        return {"outcome": "approved", "batch": self.batch}

    def _settled(self, answer: Message) -> dict[str, object]:
        text = answer.get(48) or ""
        if answer.get(39) not in (None, "00") or len(text) < 62:
            return {"outcome": "declined"}
        self.settled_groups = (text[30] == "1", text[61] == "1")
        return {"outcome": "balanced" if all(self.settled_groups) else "unbalanced"}

    def _approved(self, logged: Logged, answer: Message) -> None:
        logged.approved, logged.rrn, logged.approval = True, answer.get(37), answer.get(38)
        logged.amount_minor = int(answer.get(4) or "0")
        logged.foreign = (answer.get(63) or DOMESTIC_SCHEME)[:3] != DOMESTIC_SCHEME

    def _financial(
        self, do: str, kind: tuple[str, str], card: CardInHand, more: Mapping[int, str | None], *, mti: str = "0200"
    ) -> Sent:
        fields: dict[int, str | None] = {3: kind[0], 11: self._next_stan(), 22: card.entry, 25: "00"}
        fields |= {**self._identity(), 49: CURRENCY, 60: self._field60(kind[1], f"000{FINANCIAL_REST}")}
        fields |= self._card_fields(card) | dict(more)
        message = Message(mti, {n: value for n, value in sorted(fields.items()) if value is not None})
        sent = self._sent(do, self._with_mac(message))
        self.log[sent.stan] = Logged(sent, card.pan)
        return sent

    def _card_fields(self, card: CardInHand) -> dict[int, str | None]:
        typed = card.entry.startswith("01")
        track = f"{card.pan}={card.expiry}{TRACK_TAIL}"[:TRACK_DIGITS_MAX]
        fields: dict[int, str | None] = {2: card.pan, 14: card.expiry or None} if typed else {2: card.pan, 35: track}
        if card.pin is not None and self.keys is not None:
            fields |= {26: "12", 52: pin_block(self.keys.pik, card.pin, card.pan).hex().upper()}
            fields[53] = f"2{self._security_digit()}00000000000000"
        return self._with_encrypted_track(fields)

    def _with_encrypted_track(self, fields: dict[int, str | None]) -> dict[int, str | None]:
        """Track 2 under the TDK, and field 53 saying so, where that was agreed and there is a key."""
        track = fields.get(35)
        if self.keying.tracks != "encrypted" or track is None or self.keys is None or self.keys.tdk is None:
            return fields
        control = fields.get(53) or f"0{self._security_digit()}00000000000000"
        return fields | {35: encrypt_track(self.keys.tdk, track), 53: f"{control[:2]}1{control[3:]}"}

    def _security_digit(self) -> str:
        """Field 53 digit 2 (1.5): the algorithm of the working keys."""
        if self.sign_in_code == SIGN_IN_SM4:
            return self.keying.sm4_security_digit
        return "6" if self.keys is not None and len(self.keys.pik) > BLOCK_BYTES else "0"

    def _management(self, do: str, mti: str, code: str, more: Mapping[int, str] | None = None) -> Sent:
        fields = {11: self._next_stan(), **self._identity(), 60: self._field60("00", code), **(more or {})}
        return self._sent(do, Message(mti, dict(sorted(fields.items()))))

    def _identity(self) -> dict[int, str]:
        return {41: self.tid, 42: self.mid}

    def _field60(self, type_code: str, rest: str) -> str:
        return f"{type_code}{self.batch:06d}{rest}"

    def _next_stan(self) -> str:
        stan, self.stan = self.stan, int(next_stan(Stan(self.stan)))
        return f"{stan:06d}"

    def _with_mac(self, message: Message) -> Message:
        return message if self.keys is None else message.with_({64: MAC_PLACE})

    def _sent(self, do: str, message: Message) -> Sent:
        body = self.codec.encode(message)
        if message.get(64) is not None and self.keys is not None:
            body = replace_mac(body, self.keying.mac(self.keys.mak, body[:-BLOCK_BYTES]))
        return Sent(do, message, body)

    def _mac_fits(self, sent: Sent, answer: Message, body: bytes) -> bool:
        """A MAC that is there must be right; approvals of MAC'd requests must have one."""
        if answer.get(64) is None:
            return sent.message.get(64) is None or answer.get(39) not in APPROVED_CODES
        return self.keys is None or self.keying.mac(self.keys.mak, body[:-BLOCK_BYTES]) == body[-BLOCK_BYTES:]
