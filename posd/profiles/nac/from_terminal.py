"""What a NAC terminal asks of us, as events: it speaks the same dialect, with its own trace and invoice numbers.

It must never let a message reach the core that the dialect does not know: such a message is an event too,
`RequestUnusable`, so that it is journalled and answered like any other.
"""

import re
from collections.abc import Mapping

from posd.core import events as e
from posd.core.answers import GroupCount, Totals
from posd.core.effects import Refusal
from posd.core.rules import KindRules, TxnKind
from posd.errors import KeyOutOfReach, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.nac_subfields import AmountText, Field60Batch, Field60Original, Field62Invoice, Field63Totals
from posd.profiles.contract import Arrived, ReadRequest, Terminal
from posd.profiles.nac.data import (
    APPROVED_OFFLINE,
    CERTIFICATES,
    CLOSE,
    ECHO,
    KIND_OF,
    LOGON,
    MATRIX,
    ONLINE_ONLY,
    PREAUTH_CONDITION,
    SETTLE,
)
from posd.profiles.nac.kept import Kept
from posd.profiles.nac.parameters import block_of, is_load
from posd.profiles.packing import mac_fits
from posd.profiles.reading import Unusable, kept_icc, need, trace
from posd.security.cards import CardData, keyed_digest
from posd.security.mac import Mac
from posd.values import Minor, RequestId, Stan

FINANCIAL = ("0100", "0200", "0220")
SIGNED = (*FINANCIAL, "0400")
REVERSED = ("0200", "0100", "0220")
"""What a 0400 may mean (reference 2.6); an advice only while it has not left (D17)."""

TYPED_IN = "01"
_TRACK_1 = re.compile(r"B([0-9]{12,19})\^[^^]*(?:\^([0-9]{4}))?")


class RequestReader:
    """Reads the messages of the terminals. `mac` None: nobody signs anything in this dialect."""

    def __init__(self, kinds: Mapping[TxnKind, KindRules], mac: Mac | None) -> None:
        self._kinds, self._mac = kinds, mac

    def read(
        self, arrived: Arrived, terminal: Terminal, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        """One message as an event; never an error."""
        try:
            authenticated = self._check(arrived, terminal)
            read = self._event(arrived.message, terminal, digest_key, reply_to, received_s)
            if isinstance(read.event, e.TransactionRequested) and not (authenticated or terminal.unsigned_accepted):
                self._refuse_unauthenticated(read.event)
            return read
        except Unusable as error:
            return ReadRequest(e.RequestUnusable(error.refusal.value, error.because, reply_to))
        except MalformedMessage as error:
            return ReadRequest(e.RequestUnusable(Refusal.MALFORMED.value, str(error), reply_to))
        except KeyOutOfReach as error:
            return ReadRequest(e.RequestUnusable(Refusal.NOT_SENT.value, str(error), reply_to))

    def _check(self, arrived: Arrived, terminal: Terminal) -> bool:
        """Whether a good MAC says that this is the terminal. Raises Unusable for a wrong one (D28)."""
        message = arrived.message
        if message.get(42) not in (None, terminal.mid):
            raise Unusable(Refusal.UNKNOWN_TERMINAL, "field 42 is not this terminal's merchant")
        asked = first_mti(message.mti) in SIGNED and (terminal.mac_required or message.get(64) is not None)
        if asked and (self._mac is None or not mac_fits(arrived, terminal.tmk.as_mac_key(), self._mac)):
            raise Unusable(Refusal.BAD_MAC, "the terminal's MAC is missing or wrong")
        return asked

    def _refuse_unauthenticated(self, event: e.TransactionRequested) -> None:
        """D28: who gives money back or types a number in is known by a MAC, or the configuration takes it without."""
        kind = self._kinds[event.kind]
        typed_in = event.entry_mode.startswith(TYPED_IN) and not kind.takes_back
        if kind.gives_money or typed_in:
            what = f"a {event.kind.value}" if kind.gives_money else "manual entry"
            because = f"{what} needs the terminal's MAC (D28), or terminals[].unsigned: accept"
            raise Unusable(Refusal.NOT_AUTHENTICATED, because)

    def _event(
        self, message: Message, terminal: Terminal, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        code = message.get(3) or ""
        match first_mti(message.mti):
            case "0800" if code == LOGON:
                stan = trace(message) if message.get(11) is not None else None
                return ReadRequest(e.TerminalSignInRequested(reply_to, received_s, stan))
            case "0800" if code == ECHO:
                return ReadRequest(e.TerminalEchoed(reply_to))
            case "0800" if is_load(code):
                return ReadRequest(e.TerminalManagement(code, block_of(message), reply_to, received_s))
            case "0100" | "0200" | "0220":
                return self._transaction(message, terminal, digest_key, reply_to, received_s)
            case "0320" if code[:2] == CERTIFICATES[:2]:
                return self._transaction(message, terminal, digest_key, reply_to, received_s)
            case "0320":
                return ReadRequest(_uploaded(message, digest_key, reply_to))
            case "0400":
                return ReadRequest(_reversal(message, terminal, digest_key, reply_to))
            case "0500" if code in (SETTLE, CLOSE):
                return ReadRequest(_totals(message, reply_to))
            case mti:
                raise Unusable(Refusal.NOT_SUPPORTED, f"MTI {mti} with processing code {code} is not served here")

    def _transaction(
        self, message: Message, terminal: Terminal, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        kind = _kind_of(message)
        row, card = MATRIX[kind], _card(message, self._kinds[kind])
        invoice, tip = Field62Invoice.parse(need(message, 62)).invoice, _tip(message)
        if not invoice:
            raise MalformedMessage("an invoice number is 000001 to 999999", field="62")
        kept = _kept(message)
        event = e.TransactionRequested(
            request_id=_request_id(message, terminal, first_mti(message.mti)),
            kind=kind,
            amount_minor=_amount(message, kind),
            terminal_batch=0,
            terminal_stan=trace(message),
            fingerprint=_fingerprint(message, card, digest_key),
            entry_mode=need(message, 22),
            card=card.reference(digest_key),
            original=_original(message, kind, invoice) if row.refers else None,
            has_pin=card.pin_block is not None,
            reply_to=reply_to,
            received_s=received_s,
            options=kept.options(),
            leaves_once=card.pin_block is not None,
            tip_minor=Minor(tip),
            invoice=invoice,
        )
        return ReadRequest(event, card)


def _amount(message: Message, kind: TxnKind) -> Minor:
    """Field 4; of a void by advice, which says zero there, what it voids: field 60 (reference 2.4)."""
    if kind is TxnKind.VOID_NOTICE:
        return Minor(AmountText.parse(need(message, 60), "60").minor)
    return Minor(int(need(message, 4)))


def first_mti(mti: str) -> str:
    """0401, 0221 and 0321 are repeats of the first; 0420 is a reversal advice (reference 2.6, L)."""
    plain = f"{mti[:3]}0"
    return "0400" if plain == "0420" else plain


def _kind_of(message: Message) -> TxnKind:
    mti, process = first_mti(message.mti), need(message, 3)
    kind = KIND_OF.get((mti, process[:2]))
    if (instead := ONLINE_ONLY.get((mti, process[:2]))) is not None:
        raise Unusable(Refusal.GO_ONLINE, f"what is done to a refund is never stored (D13): send it online, {instead}")
    if kind is None:
        raise Unusable(Refusal.NOT_SUPPORTED, f"MTI {mti} with processing code {process} is not served here")
    if kind in (TxnKind.OFFLINE_SALE, TxnKind.COMPLETION_NOTICE):
        return TxnKind.OFFLINE_SALE if message.get(37) is None else TxnKind.COMPLETION_NOTICE
    if kind in (TxnKind.ADJUST, TxnKind.TIP):
        if not int(need(message, 4)):
            return TxnKind.VOID_NOTICE
        return TxnKind.ADJUST if message.get(54) is None else TxnKind.TIP
    return kind


def _card(message: Message, kind: KindRules) -> CardData:
    card = CardData(
        pan=_pan(message),
        expiry=message.get(14) or _expiry(message),
        track2=message.get(35),
        sequence=message.get(23),
        pin_block=message.get(52),
        icc=message.get(55),
        kept_icc=kept_icc(message.get(55)) if kind.advice else None,
        entry_mode=message.get(22),
    )
    if card.number is None:
        raise Unusable(Refusal.MALFORMED, "there is no card number: fields 2, 35 and 45 hold none")
    return card


def _expiry(message: Message) -> str | None:
    """Field 14 of a reversal or upload has to come from a track (reference 2.6)."""
    expiry = (message.get(35) or "").partition("=")[2][:4]
    if len(expiry) == 4 and expiry.isdigit():
        return expiry
    track_1 = _TRACK_1.match(message.get(45) or "")
    return track_1[2] if track_1 is not None else None


def _tip(message: Message) -> int:
    text = message.get(54)
    return AmountText.parse(text, "54").minor if text is not None else 0


def _kept(message: Message) -> Kept:
    return Kept(
        process=need(message, 3),
        condition=need(message, 25),
        time=message.get(12) or "",
        date=message.get(13) or "",
        rrn=message.get(37) or "",
        approval=message.get(38) or "",
        code=_offline_code(message),
    )


def _offline_code(message: Message) -> str:
    """Field 39 of what has happened already: how it was approved without the host (reference 2.7)."""
    code = message.get(39) or ""
    if first_mti(message.mti) == "0220" and code and code not in APPROVED_OFFLINE:
        because = f"field 39 is {code}: it was not approved, so there is no money to tell of"
        raise Unusable(Refusal.NOT_SUPPORTED, because)
    return code if first_mti(message.mti) in ("0220", "0320") else ""


def _fingerprint(message: Message, card: CardData, digest_key: bytes) -> str:
    """Amounts, a keyed digest of the card, and what else makes it another request (D6)."""
    said = ":".join(message.get(number) or "-" for number in (4, 54, 60, 37))
    return f"{said}:{keyed_digest(digest_key, card.number or '')}"


def _original(message: Message, kind: TxnKind, invoice: int) -> e.OriginalPointer:
    """By the host's reference where it is told, else by the invoice number; a completion by the reference alone."""
    if kind is TxnKind.COMPLETION_NOTICE:
        return e.OriginalPointer(need(message, 37), None, None)
    return e.OriginalPointer(message.get(37), None, None, invoice=invoice)


def _reversal(message: Message, terminal: Terminal, digest_key: bytes, reply_to: str) -> e.Event:
    """Field 3 is the original's, and a 0100 or a 0220 may have that of a sale (reference 2.3): any may be meant."""
    process, pan = need(message, 3), CardData(pan=_pan(message), track2=message.get(35)).number
    mtis = [mti for mti in REVERSED if (mti, process[:2]) in KIND_OF]
    if message.get(25) == PREAUTH_CONDITION:
        mtis.sort()
    ids = [_request_id(message, terminal, mti) for mti in mtis or REVERSED[:1]]
    return e.ReversalRequested(
        original=ids[0],
        amount_minor=Minor(int(need(message, 4))),
        reason="",
        reply_to=reply_to,
        or_originals=tuple(ids[1:]),
        card=keyed_digest(digest_key, pan) if pan is not None else None,
        terminal_stan=trace(message),
        invoice=Field62Invoice.parse(need(message, 62)).invoice,
        kinds=frozenset(KIND_OF[mti, process[:2]] for mti in mtis),
    )


def _pan(message: Message) -> str | None:
    """Field 2, else what track 1 says where there is no track 2."""
    track_1 = _TRACK_1.match(message.get(45) or "")
    return message.get(2) or (track_1[1] if track_1 and message.get(35) is None else None)


def _request_id(message: Message, terminal: Terminal, mti: str) -> RequestId:
    """D6: no request tells the terminal's batch, so its invoice number stands in that place."""
    invoice = Field62Invoice.parse(need(message, 62)).invoice
    return RequestId(f"{terminal.tid}/{invoice:06d}/{trace(message):06d}/{mti}/{need(message, 3)}")


def _totals(message: Message, reply_to: str) -> e.Event:
    batch, said = Field60Batch.parse(need(message, 60)).batch, Field63Totals.parse(need(message, 63))
    group = GroupCount(said.sale_minor, said.sale_count, said.refund_minor, said.refund_count)
    return e.TerminalTotalsGiven(batch, Totals(group), reply_to, trace(message), ends=message.get(3) == CLOSE)


def _uploaded(message: Message, digest_key: bytes, reply_to: str) -> e.Event:
    """One transaction, by the trace number that it had; the message does not tell the batch."""
    original, pan = Field60Original.parse(need(message, 60)), message.get(2)
    card = keyed_digest(digest_key, pan) if pan is not None else None
    item = e.UploadedItem(Stan(original.stan), Minor(int(need(message, 4))), card, foreign=False)
    return e.TerminalUploaded(0, reply_to, (item,))
