"""The NAC / Hypercom dialect, configured for one acquirer (reference, Profile 2)."""

from collections.abc import Mapping

from msgspec.structs import replace

from posd.core.answers import ExchangeKind, HostAnswer
from posd.core.effects import HostMessage, Refusal, Refused, ToTerminal
from posd.core.rules import KindRules, TxnKind, Why
from posd.core.state import Session, Transaction
from posd.errors import CannotEncode, CannotEncodeNow, KeyOutOfReach, MalformedMessage
from posd.framing.tpdu import Envelope, split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, VariablePad, nac_spec
from posd.iso8583.nac_masking import masked_nac_fields
from posd.profiles.answering import wants_an_answer
from posd.profiles.codes import Code
from posd.profiles.contract import Arrived, Material, Order, Outgoing, ReadRequest, Terminal
from posd.profiles.difference import NO_DIFFERENCE, Difference
from posd.profiles.nac import from_host, to_host, to_terminal
from posd.profiles.nac.codes import CODES
from posd.profiles.nac.data import CLOSE_RULES, MAC_COVERED, REVERSAL_REASONS, kinds_of
from posd.profiles.nac.from_terminal import RequestReader
from posd.profiles.nac.knobs import Knobs
from posd.profiles.nac.order import read_order
from posd.profiles.packing import mac_fits, packed, unsayable
from posd.security.mac import Mac, ecb_mac, mac_of
from posd.values import Now, Stan

NO_MAC = "none"
BATCH_DIGITS = 6


class Nac:
    """The profile; see `posd.profiles.contract.Profile` for what each method promises."""

    reversal_reasons: Mapping[Why, str] = REVERSAL_REASONS
    has_keys = False
    tells_batch = False
    has_invoices = True
    reversal_finds_original = False
    upload_records_max = 1
    foreign_apart = False
    download = ""

    def __init__(self, knobs: Knobs, difference: Difference = NO_DIFFERENCE) -> None:
        self.knobs, self._difference = knobs, difference
        self.codes: Mapping[str, Code] = difference.with_codes(CODES)
        self.close = replace(
            CLOSE_RULES,
            waits_for_reversals=not knobs.settle_with_reversal_owed,
            uploads_on_repeat=knobs.transfer_on_repeat,
        )
        self.kinds: Mapping[TxnKind, KindRules] = kinds_of(knobs.voids, knobs.refunds)
        self._codec = Codec(nac_spec(pad=VariablePad(knobs.pad), ascii_wire=knobs.ascii_wire))
        self._envelope = Envelope(knobs.tpdu, b"", b"")
        self._mac: Mac | None = None if knobs.mac_algorithm == NO_MAC else mac_of(knobs.mac_algorithm, knobs.mac_output)
        self._reader = RequestReader(self.kinds, self._mac)

    def arrive(self, frame: bytes) -> Arrived:
        """Raises MalformedMessage; `Unreadable` with what could be read, where something could."""
        envelope, body = split(frame, HEADER_BYTES)
        if envelope.lri and not self.knobs.lri_accepted:
            raise MalformedMessage("an LRI block; allow it with host.lri: accept", field="LRI", offset=5)
        return Arrived(envelope, body, self._codec.decode(body))

    def answer_key(self, arrived: Arrived) -> tuple[ExchangeKind, Stan | None] | None:
        return from_host.answer_key(arrived.message)

    def encode(self, message: HostMessage, terminal: Terminal, session: Session, material: Material) -> Outgoing:
        built = to_host.build(message, terminal, material, self.knobs)
        built = self._difference.applied(message, built, material)
        return self._pack(self._envelope, built, terminal, _batch_of(message))

    def read_answer(
        self, arrived: Arrived, terminal: Terminal, session: Session, echoed: Mapping[int, str] | None
    ) -> HostAnswer:
        return from_host.read_answer(arrived, terminal.tmk, self._mac, self.codes, echoed)

    def read_request(
        self,
        arrived: Arrived,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        return self._reader.read(arrived, terminal, digest_key, reply_to, received_s)

    def read_order(
        self, order: Order, original: Transaction | None, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        return read_order(order, original, self.kinds, digest_key, reply_to, received_s)

    def encode_answer(
        self, request: Arrived, answer: ToTerminal, terminal: Terminal, session: Session, now: Now
    ) -> Outgoing:
        built = to_terminal.build(request.message, answer, session, now, self.knobs.zone)
        try:
            signed = self._mac is not None and mac_fits(request, terminal.tmk.as_mac_key(), self._mac)
            return self._pack(request.envelope.answered(), built, terminal if signed else None, None)
        except (KeyOutOfReach, CannotEncodeNow) as error:
            if not isinstance(answer.answer, Refused):
                raise CannotEncodeNow(f"{built.mti}: {error}") from None
            return self._pack(request.envelope.answered(), built, None, None)  # a "no" needs no proof

    def refuse(self, envelope: Envelope, message: Message, refusal: str, now: Now) -> Outgoing | None:
        if not wants_an_answer(message.mti):
            return None
        built = to_terminal.refusal(message, Refusal(refusal), Session(), now, self.knobs.zone)
        return self._pack(envelope.answered(), built, None, None)

    def batch_told(self, message: Message) -> int | None:
        """Only totals say it (reference 2.4)."""
        said = message.get(60) or ""
        is_number = len(said) == BATCH_DIGITS and said.isascii() and said.isdigit()
        return int(said) if message.mti[:2] == "05" and is_number else None

    def masked(self, message: Message) -> Mapping[str, str]:
        return masked_nac_fields(message)

    def keys_trouble(self, terminal: Terminal, session: Session) -> str:
        """There are no working keys that could be wrong."""
        return ""

    def _pack(self, envelope: Envelope, message: Message, terminal: Terminal | None, batch: int | None) -> Outgoing:
        """`terminal`: whose key signs it, where this acquirer wants a MAC; None: unsigned."""
        signs = self._mac is not None and terminal is not None and message.mti in MAC_COVERED
        try:
            key = terminal.tmk.as_mac_key() if signs and terminal is not None else None
        except KeyOutOfReach as error:
            raise unsayable(message.mti, error) from None
        if signs and key is None:
            raise CannotEncode(f"{message.mti}: this terminal has no MAC key; run: posd keys load")
        return packed(
            self._codec,
            envelope,
            message,
            key,
            self._mac or ecb_mac,
            masked=masked_nac_fields,
            echoed=from_host.ECHOED,
            batch=batch,
        )


def _batch_of(message: HostMessage) -> int | None:
    """No financial message says its batch: our own number of it."""
    transaction = getattr(message, "transaction", None)
    return transaction.batch_number if transaction is not None else getattr(message, "batch_number", None)
