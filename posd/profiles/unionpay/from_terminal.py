"""What a terminal asks of us, as events: the terminal speaks the same dialect, with its own trace and batch.

It must never let a message reach the core that the dialect does not know: such a message is an event too,
`RequestUnusable`, so that it is journalled and answered like any other.
"""

from collections.abc import Callable

from posd.core import events as e
from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.core.state import Session
from posd.errors import KeyOutOfReach, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field60, Field61
from posd.profiles.contract import Arrived, ReadRequest, Terminal
from posd.profiles.reading import kept_icc
from posd.profiles.unionpay import chip, terminal_close
from posd.profiles.unionpay.data import (
    CURRENCY,
    ECHO,
    IN_PART,
    KIND_OF,
    KINDS,
    MANAGED,
    MANUAL_ENTRY,
    MATRIX,
    MTI_OF,
    PARTIAL_ALLOWED,
    PASSED_ON,
    REASONS,
    SERVED_BY,
    SIGN_OFF,
    TOLD_BY_KEY,
    Row,
)
from posd.profiles.unionpay.named import NamedOriginal
from posd.profiles.unionpay.seal import Keying, terminal_mak
from posd.profiles.unionpay.tracks import are_encrypted, carries_tracks, said_wrongly, too_short, with_number
from posd.security.cards import CardData, keyed_digest
from posd.values import STAN_MAX, Minor, RequestId, Stan


class Unusable(Exception):
    """This message cannot be served, and this is what its terminal is told."""

    def __init__(self, refusal: Refusal, because: str) -> None:
        self.refusal, self.because = refusal, because
        super().__init__(because)


class RequestReader:
    """Reads the messages of the terminals of one door; `sign_in` is the only layout of keys that we hold.

    `encrypts_tracks`: what comes with clear tracks goes on with encrypted ones.

    `partial_approval`: the acquirer may approve a part, where the terminal can take one (D15).
    """

    def __init__(self, sign_in: str, keying: Keying, partial_approval: bool, encrypts_tracks: bool) -> None:
        self._sign_in, self._keying, self._partial_approval = sign_in, keying, partial_approval
        self._encrypts_tracks = encrypts_tracks

    def read(
        self,
        arrived: Arrived,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        """One message as an event; never an error."""
        try:
            authenticated = self._check(arrived, terminal, session)
            read = self._event(arrived.message, terminal, session, digest_key, reply_to, received_s)
            if isinstance(read.event, e.TransactionRequested) and not authenticated:
                _refuse_unauthenticated(read.event)
            return read
        except Unusable as error:
            return ReadRequest(e.RequestUnusable(error.refusal.value, error.because, reply_to))
        except MalformedMessage as error:
            return ReadRequest(e.RequestUnusable(Refusal.MALFORMED.value, str(error), reply_to))
        except KeyOutOfReach as error:
            return ReadRequest(e.RequestUnusable(Refusal.NOT_SENT.value, str(error), reply_to))

    def _check(self, arrived: Arrived, terminal: Terminal, session: Session) -> bool:
        """Whether a good MAC says that this is the terminal. Raises Unusable for a wrong one."""
        message = arrived.message
        if message.get(42) != terminal.mid:
            raise Unusable(Refusal.UNKNOWN_TERMINAL, "field 42 is not this terminal's merchant")
        has_mac = message.get(64) is not None
        asked = message.mti in ("0100", "0200", "0220", "0400", "0620") and (terminal.mac_required or has_mac)
        if asked and (not has_mac or terminal_mak(arrived, terminal, session, self._keying) is None):
            raise Unusable(Refusal.BAD_MAC, "the terminal's MAC is missing or wrong")  # D28
        return asked

    def _event(
        self,
        message: Message,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        match message.mti:
            case "0800":
                code = Field60.parse(_need(message, 60)).code
                if code in MANAGED:
                    return ReadRequest(_management(message, reply_to, received_s))
                if code not in SERVED_BY.get(self._sign_in, (self._sign_in,)):
                    raise Unusable(Refusal.NOT_SUPPORTED, f"sign-in code {code}: this host is signed in to otherwise")
                return ReadRequest(e.TerminalSignInRequested(reply_to, received_s, _trace(message)))
            case "0820":
                return ReadRequest(_management(message, reply_to, received_s))
            case "0100" | "0200" | "0220":
                return self._transaction(message, terminal, session, digest_key, reply_to, received_s)
            case "0620":
                return chip.script_notice(message, terminal.tid, digest_key, reply_to, received_s)
            case "0400":
                return ReadRequest(_reversal(message, terminal, reply_to))
            case "0500":
                return ReadRequest(terminal_close.totals_given(message, reply_to))
            case "0320":
                return ReadRequest(terminal_close.uploaded(message, digest_key, reply_to))
            case _:
                raise Unusable(Refusal.NOT_SUPPORTED, f"MTI {message.mti} is not served here")

    def _transaction(
        self,
        message: Message,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        field_60 = Field60.parse(_need(message, 60))
        kind = KIND_OF.get((message.mti, _need(message, 3), _need(message, 25), field_60.type_code))
        if kind is None:
            raise Unusable(Refusal.NOT_SUPPORTED, "no transaction has this processing, condition and type code")
        if message.get(49) != CURRENCY:
            raise Unusable(Refusal.MALFORMED, f"field 49 is not {CURRENCY}")
        encrypted, encrypts = are_encrypted(message), self._encrypts_tracks and carries_tracks(message)
        if encrypts and not encrypted and (field := too_short(message)) is not None:
            raise Unusable(Refusal.MALFORMED, f"field {field} is too short to be encrypted")
        if encrypted and (field := said_wrongly(message, terminal, session, self._keying)) is not None:
            raise Unusable(Refusal.MALFORMED, f"field 53 says that field {field} is encrypted, and it is not")
        shown = _card(message, encrypted)
        card = with_number(shown, terminal, session, self._keying)
        row, named = MATRIX[kind], _named(kind, message)
        part = self._partial_approval and kind in IN_PART
        options = _options(field_60, part)
        event = e.TransactionRequested(
            request_id=_request_id(message, terminal, field_60, message.mti),
            kind=kind,
            amount_minor=Minor(int(_need(message, 4)) if row.has_amount else 0),
            terminal_batch=field_60.batch,
            terminal_stan=_trace(message),
            fingerprint=_fingerprint(message, shown, digest_key, _what(kind, named)),
            entry_mode=_need(message, 22),
            card=card.reference(digest_key),
            original=_original(message, kind, row, named),
            has_pin=card.pin_block is not None,
            reply_to=reply_to,
            received_s=received_s,
            options=named.options(options) if named is not None else options,
            partial_asked=part and field_60.partial_approval == PARTIAL_ALLOWED,
            leaves_once=card.pin_block is not None or encrypted or encrypts,
            tracks_encrypted=encrypted,
            chip=card.icc is not None,
        )
        return ReadRequest(event, card)


def _options(field_60: Field60, part: bool) -> str:
    """60.3 to 60.7 as they go on to the host: 60.6 asks for a part only where that is allowed (D15)."""
    rest = field_60.rest
    if len(rest) > 2 and not part:
        rest = f"{rest[:2]}0{rest[3:]}"
    return f"{field_60.code}{rest}"


def _refuse_unauthenticated(event: e.TransactionRequested) -> None:
    """D28: who gives money back or types a number in is known by a MAC on this very message.

    A void is neither: it gives back what the open batch took, to the card that it came from, whose number is compared.
    A tip is for a card of the open batch, compared too.
    """
    kind = KINDS[event.kind]
    compared = kind.original is not None and kind.original.known
    typed_in = event.entry_mode.startswith(MANUAL_ENTRY) and not compared
    if kind.gives_money or typed_in:
        what = f"a {event.kind.value}" if kind.gives_money else "manual entry"
        raise Unusable(Refusal.NOT_AUTHENTICATED, f"{what} needs the terminal's MAC (D28)")


def _management(message: Message, reply_to: str, received_s: float) -> e.Event:
    kinds: dict[str, Callable[[str], e.Event]] = {SIGN_OFF: e.TerminalSignedOff, ECHO: e.TerminalEchoed}
    code = Field60.parse(_need(message, 60)).code
    if (function := f"{message.mti}/{code}") in PASSED_ON:
        _trace(message)
        return e.TerminalManagement(function, message.get(62) or "", reply_to, received_s)
    if message.mti != "0820" or code not in kinds:
        raise Unusable(Refusal.NOT_SUPPORTED, f"network management code {code} is not served here")
    return kinds[code](reply_to)


def _card(message: Message, encrypted: bool) -> CardData:
    card = CardData(
        pan=message.get(2),
        expiry=message.get(14),
        track2=message.get(35),
        track3=message.get(36),
        sequence=message.get(23),
        pin_block=message.get(52),
        icc=message.get(55),
        kept_icc=kept_icc(message.get(55)),
        entry_mode=message.get(22),
        encrypted=encrypted,
    )
    if card.pan is None and card.track2 is None and card.track3 is None:
        raise Unusable(Refusal.MALFORMED, "there is no card: fields 2, 35 and 36 are absent")
    return card


def _fingerprint(message: Message, card: CardData, digest_key: bytes, what: str) -> str:
    """Amount and a keyed digest of the card (D6); of the track as it came, where no number can be read from it.

    Of what everybody can read: the same bytes must give the same fingerprint, whatever key is the current one.
    """
    shown = card.number or card.track2 or card.track3 or ""
    return f"{message.get(4) or '-'}:{keyed_digest(digest_key, shown)}{what}"


def _what(kind: TxnKind, named: NamedOriginal | None) -> str:
    """What else makes it another request: MTI and processing code are the same for several kinds."""
    if kind in TOLD_BY_KEY:
        return ""
    return f":{MATRIX[kind].type_code}:{named.approval if named is not None else ''}"


def _named(kind: TxnKind, message: Message) -> NamedOriginal | None:
    """How it names an original that we may not know."""
    if kind is TxnKind.REFUND:
        return NamedOriginal.of_refund(message)
    if kind is TxnKind.EC_REFUND:
        return NamedOriginal.dated(message)
    if kind is TxnKind.EC_SALE and message.get(55) is None:
        raise MalformedMessage("an offline sale of electronic cash brings what its chip signed", field="55")
    if MATRIX[kind].by_code:
        return NamedOriginal.by_code(message)
    return NamedOriginal.of(message) if KINDS[kind].advice else None


def _original(message: Message, kind: TxnKind, row: Row, named: NamedOriginal | None) -> e.OriginalPointer | None:
    """Unknown parts are zero (reference 1.4). A refund names its sale by what its slip says of it."""
    if kind is TxnKind.REFUND and named is not None:
        return e.OriginalPointer(named.rrn, None, None, date=named.date)
    if not row.names:
        return None
    rrn = message.get(37)
    text = message.get(61)
    if text is None and rrn is None:
        raise Unusable(Refusal.NO_ORIGINAL, "no original is named: fields 37 and 61 are absent")
    at = Field61.parse(text) if text is not None else None
    by_trace = at is not None and (at.stan > 0 or not row.by_code)
    return e.OriginalPointer(
        rrn=rrn,
        terminal_batch=at.batch if at is not None and by_trace else None,
        terminal_stan=Stan(at.stan) if at is not None and by_trace else None,
        approval_code=named.approval if named is not None and row.by_code else None,
        date=named.date if named is not None and row.by_code else None,
    )


def _reversal(message: Message, terminal: Terminal, reply_to: str) -> e.Event:
    field_60 = Field60.parse(_need(message, 60))
    reason = message.get(39) or ""
    return e.ReversalRequested(
        original=_request_id(message, terminal, field_60, _original_mti(message, field_60)),
        amount_minor=Minor(int(_need(message, 4))),
        reason=reason if reason in REASONS else "98",
        reply_to=reply_to,
        icc=chip.told_in_reversal(message),
        chip_refused=chip.says_refused(message),
    )


def _original_mti(message: Message, field_60: Field60) -> str:
    key = (_need(message, 3), message.get(25) or "00", field_60.type_code)
    return MTI_OF.get(key, "0200")


def _request_id(message: Message, terminal: Terminal, field_60: Field60, mti: str) -> RequestId:
    """D6: TID, the terminal's own batch, its trace, MTI and processing code."""
    return RequestId(f"{terminal.tid}/{field_60.batch:06d}/{_trace(message):06d}/{mti}/{_need(message, 3)}")


def _trace(message: Message) -> Stan:
    number = int(_need(message, 11))
    if not 1 <= number <= STAN_MAX:
        raise MalformedMessage("a trace number is 000001 to 999999", field="11")
    return Stan(number)


def _need(message: Message, field: int) -> str:
    value = message.get(field)
    if value is None:
        raise MalformedMessage("is missing", field=str(field))
    return value
