"""The UnionPay direct-connect dialect, configured for one acquirer (reference, Profile 1)."""

from collections.abc import Mapping

from posd.core.answers import ExchangeKind, HostAnswer
from posd.core.effects import HostMessage, Refusal, Refused, SendSignIn, ToTerminal
from posd.core.rules import CloseRules, KindRules, TxnKind, Why
from posd.core.state import Session, Transaction
from posd.errors import CannotEncodeNow, KeyOutOfReach, KeyTrouble, MalformedMessage
from posd.framing.tpdu import Envelope, split
from posd.iso8583.codec import Codec
from posd.iso8583.masking import masked_fields
from posd.iso8583.message import Message
from posd.iso8583.spec import VariablePad
from posd.iso8583.unionpay import UNIONPAY, unionpay_spec
from posd.profiles.answering import wants_an_answer
from posd.profiles.codes import Code
from posd.profiles.contract import Arrived, Material, Order, Outgoing, ReadRequest, Terminal
from posd.profiles.difference import NO_DIFFERENCE, Difference
from posd.profiles.packing import unsayable
from posd.profiles.unionpay import from_host, to_host, to_terminal
from posd.profiles.unionpay.codes import CODES
from posd.profiles.unionpay.data import (
    KINDS,
    MAC_COVERED,
    NO_SECURITY_CONTROL,
    PARAMETERS,
    REFUSALS,
    REVERSAL_REASONS,
)
from posd.profiles.unionpay.from_terminal import RequestReader
from posd.profiles.unionpay.knobs import Knobs as Knobs
from posd.profiles.unionpay.order import read_order
from posd.profiles.unionpay.seal import Keying, host_mak, keys_of, pack, terminal_mak
from posd.profiles.unionpay.tracks import with_encrypted_tracks
from posd.security.cipherkey import CipherKey
from posd.security.keys import SM4, layout_of
from posd.security.mac import ALGORITHMS, mac_of
from posd.values import Now, Stan

BATCH_DIGITS = 6


class UnionPay:
    """The profile; see `posd.profiles.contract.Profile` for what each method promises."""

    kinds: Mapping[TxnKind, KindRules] = KINDS
    reversal_reasons: Mapping[Why, str] = REVERSAL_REASONS
    has_keys = True
    tells_batch = True
    has_invoices = False
    reversal_finds_original = True
    download = PARAMETERS

    def __init__(self, knobs: Knobs, difference: Difference = NO_DIFFERENCE) -> None:
        self.knobs, self._difference = knobs, difference
        self.codes: Mapping[str, Code] = difference.with_codes(CODES)
        self.close = CloseRules(ends_without_items=knobs.ends_without_items)
        self.foreign_apart, self.upload_records_max = knobs.totals_groups > 1, knobs.upload_records_max
        self._codec = _codec(knobs)
        self._envelope = Envelope(knobs.tpdu, b"", knobs.header)
        layout = layout_of(knobs.sign_in, knobs.mak, knobs.sm4_key_block)
        if layout.mak_bytes not in ALGORITHMS[knobs.mac_algorithm].key_bytes:
            raise KeyTrouble(f"{knobs.mac_algorithm} and a MAK of {layout.mak_bytes} bytes do not go together")
        self._keying = Keying(layout, mac_of(knobs.mac_algorithm, knobs.mac_output))
        digit = knobs.sm4_security_digit if layout.cipher is SM4 else NO_SECURITY_CONTROL[1]
        self._control = f"{NO_SECURITY_CONTROL[0]}{digit}{NO_SECURITY_CONTROL[2:]}"
        self._reader = RequestReader(knobs.sign_in, self._keying, knobs.partial_approval, knobs.track_encryption)

    def arrive(self, frame: bytes) -> Arrived:
        """Raises MalformedMessage; `Unreadable` with what could be read, where something could."""
        envelope, body = split(frame, len(self.knobs.header))
        if envelope.lri and not self.knobs.lri_accepted:
            raise MalformedMessage("an LRI block; allow it with host.lri: accept", field="LRI", offset=5)
        return Arrived(envelope, body, self._codec.decode(body))

    def answer_key(self, arrived: Arrived) -> tuple[ExchangeKind, Stan | None] | None:
        return from_host.answer_key(arrived.message)

    def encode(self, message: HostMessage, terminal: Terminal, session: Session, material: Material) -> Outgoing:
        if isinstance(message, SendSignIn):
            _require_reach(terminal)
        built = to_host.build(message, terminal, material, self.knobs, self._control)
        built = self._difference.applied(message, built, material)
        if self.knobs.track_encryption:
            built = with_encrypted_tracks(built, terminal, session, self._keying)
        mak = host_mak(terminal, session, self._keying, built.mti)
        return pack(self._codec, self._envelope, built, mak, self._keying.mac)

    def read_answer(
        self, arrived: Arrived, terminal: Terminal, session: Session, echoed: Mapping[int, str] | None
    ) -> HostAnswer:
        return from_host.read_answer(arrived, terminal, session, echoed, self._keying, self.codes, self.foreign_apart)

    def read_request(
        self,
        arrived: Arrived,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        return self._reader.read(arrived, terminal, session, digest_key, reply_to, received_s)

    def read_order(
        self, order: Order, original: Transaction | None, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        return read_order(order, original, digest_key, reply_to, received_s, self.knobs.zone)

    def encode_answer(
        self, request: Arrived, answer: ToTerminal, terminal: Terminal, session: Session, now: Now
    ) -> Outgoing:
        built = to_terminal.build(request.message, answer, session, now, self.knobs)
        try:
            mak = self._terminal_mak(request, built, terminal, session)
            return pack(self._codec, _answered(request.envelope), built, mak, self._keying.mac)
        except (KeyOutOfReach, CannotEncodeNow) as error:
            if not isinstance(answer.answer, Refused):
                raise CannotEncodeNow(f"{built.mti}: {error}") from None
            return pack(self._codec, _answered(request.envelope), built, None)  # a "no" needs no proof

    def refuse(self, envelope: Envelope, message: Message, refusal: str, now: Now) -> Outgoing | None:
        if not wants_an_answer(message.mti):
            return None
        built = to_terminal.refusal(message, Refusal(refusal), Session(), now, self.knobs.zone)
        return pack(self._codec, _answered(envelope), built, None)

    def batch_told(self, message: Message) -> int | None:
        """60.2, in every message that has field 60 (reference 1.3)."""
        said = (message.get(60) or "")[2:8]
        return int(said) if len(said) == BATCH_DIGITS and said.isascii() and said.isdigit() else None

    def masked(self, message: Message) -> Mapping[str, str]:
        return masked_fields(message)

    def keys_trouble(self, terminal: Terminal, session: Session) -> str:
        """As when the TMK is no longer the one that they came under."""
        try:
            keys_of(terminal, session, self._keying)
        except KeyOutOfReach:
            return ""
        except KeyTrouble as error:
            return str(error)
        return ""

    def _terminal_mak(
        self, request: Arrived, answer: Message, terminal: Terminal, session: Session
    ) -> CipherKey | None:
        """A terminal with a MAC of its own gets one back (D28), but for the word that it has to sign in.

        Under the keys with which it signed: any other MAC would look like a forgery to it.
        """
        if answer.mti not in MAC_COVERED or answer.get(39) == REFUSALS[Refusal.SIGN_IN_FIRST]:
            return None
        return terminal_mak(request, terminal, session, self._keying)


def _codec(knobs: Knobs) -> Codec:
    spec = unionpay_spec(
        f22_left=knobs.field_22 == "left",
        f23_right=knobs.field_23 == "right",
        f61_ascii=knobs.field_61 == "ascii",
        pin_block_bytes=knobs.sm4_pin_block_bytes,
        pad=VariablePad(knobs.pad),
    )
    return UNIONPAY if spec == UNIONPAY.spec else Codec(spec)


def _require_reach(terminal: Terminal) -> None:
    """The host's new keys could not be opened, and the old ones would be of no use any more: no sign-in is sent."""
    try:
        terminal.tmk.require_reach()
    except KeyOutOfReach as error:
        raise unsayable("0800", error) from None


def _answered(envelope: Envelope) -> Envelope:
    """TPDU turned round; header as it came, its request for attention (digit 6) cleared (reference 1.1)."""
    turned = envelope.answered()
    header = turned.header
    if len(header) == 6:
        header = header[:2] + bytes([header[2] & 0xF0]) + header[3:]
    return Envelope(turned.tpdu, turned.lri, header)
