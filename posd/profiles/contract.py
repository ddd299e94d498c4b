"""What the daemon asks of a dialect: the only bridge between the core's meanings and the bytes on a wire.

A profile is data plus small functions. It holds no state between messages, never decides about money, and never
journals or sends anything.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from posd.core.answers import ExchangeKind, HostAnswer
from posd.core.effects import HostMessage, ToTerminal
from posd.core.events import Event
from posd.core.rules import CloseRules, KindRules, TxnKind, Why
from posd.core.state import Session, Transaction
from posd.framing.tpdu import Envelope
from posd.iso8583.message import Message
from posd.profiles.codes import Code
from posd.security.cards import CardData
from posd.security.keys import Tmk
from posd.values import Minor, Now, Quiet, RequestId, Rrn, Stan, Tid


class Terminal(Struct, frozen=True):
    """A terminal as its acquirer knows it. `mac_required`: its own messages must carry a MAC (D28).

    `tmk`: its master key; in a dialect without working keys the key of its MAC, empty where there is none.
    `unsigned_accepted`: what D28 wants a MAC for is taken without one.
    """

    tid: Tid
    mid: str
    tmk: Tmk
    mac_required: bool
    unsigned_accepted: bool = False


class Arrived(Quiet, frozen=True):
    """One message that was read off a wire: its envelope, its bytes from the MTI on, and its fields."""

    envelope: Envelope
    body: bytes
    message: Message

    @property
    def tid(self) -> Tid | None:
        """Field 41, the lane it belongs to."""
        text = self.message.get(41)
        return Tid(text) if text is not None else None


class Outgoing(Quiet, frozen=True):
    """One message ready to leave. `frame` is without its length; `masked` is what may be journalled and shown.

    `echoed`: fields of a request that its answer must repeat. `pan` is to be sealed beside the message.
    """

    frame: bytes
    mti: str
    masked: Mapping[str, str]
    echoed: Mapping[int, str]
    stan: Stan | None = None
    rrn: Rrn | None = None
    batch: int | None = None
    pan: bytes | None = None


class Material(Quiet, frozen=True):
    """What an encoding needs beside the core's meaning; it lives no longer than that.

    `requests`: what the terminal sent, while it is waiting to be sent on. `cards`: sealed facts, opened.
    """

    requests: Mapping[RequestId, Message]
    cards: Mapping[RequestId, CardData]


class ReadRequest(Quiet, frozen=True):
    """A terminal's message as an event, with the card that it brought; `message`: what an order becomes of it."""

    event: Event
    card: CardData | None = None
    message: Message | None = None


class Receipt(Struct, frozen=True):
    """A transaction that posd does not know, as its receipt names it: `date` MMDD; `rrn` or `approval_code` empty."""

    rrn: str
    date: str
    approval_code: str


class Order(Quiet, frozen=True):
    """What a till wants, read and checked; it has no message of its own.

    `digest`: a keyed digest of all that the till said (D6). `amount_minor` None: the whole of the original.
    `card`: what the till typed in, or the card of `original` from the vault. `approval_code`: as told by telephone.
    """

    request_id: RequestId
    kind: TxnKind
    digest: str
    amount_minor: Minor | None
    card: CardData | None = None
    original: RequestId | None = None
    receipt: Receipt | None = None
    reference: str = ""
    tip_minor: Minor | None = None
    approval_code: str = ""


class Profile(Protocol):
    """A dialect, configured for one acquirer.

    `codes`: field 39. `has_keys`: a sign-in brings working keys. `tells_batch`: requests of a terminal name its batch.
    `has_invoices`: each transaction has an invoice number. `reversal_finds_original`,
    `foreign_apart`: as in core/rules.py.
    `download`: the management message with which the host's parameters are asked for; empty: there is none.
    """

    kinds: Mapping[TxnKind, KindRules]
    reversal_reasons: Mapping[Why, str]
    codes: Mapping[str, Code]
    close: CloseRules
    has_keys: bool
    tells_batch: bool
    has_invoices: bool
    reversal_finds_original: bool
    upload_records_max: int
    foreign_apart: bool
    download: str

    def arrive(self, frame: bytes) -> Arrived:
        """Read a frame (without length) of either side. Raises MalformedMessage."""

    def answer_key(self, arrived: Arrived) -> tuple[ExchangeKind, Stan | None] | None:
        """What an answer answers (D8); None: it is no answer of this dialect."""

    def encode(self, message: HostMessage, terminal: Terminal, session: Session, material: Material) -> Outgoing:
        """A message to the host, with its MAC. Raises CannotEncode."""

    def read_answer(
        self, arrived: Arrived, terminal: Terminal, session: Session, echoed: Mapping[int, str] | None
    ) -> HostAnswer:
        """An answer, checked against what its request said (None: not known) and for its MAC.

        Raises MalformedMessage when it cannot be an answer at all.
        """

    def read_request(
        self,
        arrived: Arrived,
        terminal: Terminal,
        session: Session,
        digest_key: bytes,
        reply_to: str,
        received_s: float,
    ) -> ReadRequest:
        """A terminal's message as an event; what cannot be served is an event too, never an error."""

    def read_order(
        self, order: Order, original: Transaction | None, digest_key: bytes, reply_to: str, received_s: float
    ) -> ReadRequest:
        """A till's order as an event, with the message that it becomes; what cannot be served is an event too."""

    def encode_answer(
        self, request: Arrived, answer: ToTerminal, terminal: Terminal, session: Session, now: Now
    ) -> Outgoing:
        """The answer to a terminal's message, with the terminal's own trace, batch, header and MAC."""

    def refuse(self, envelope: Envelope, message: Message, refusal: str, now: Now) -> Outgoing | None:
        """An answer to what could be read of a message; None where the MTI says that it wants none."""

    def batch_told(self, message: Message) -> int | None:
        """The batch number that a message says, whatever else stands in its fields; None: it says none."""

    def masked(self, message: Message) -> Mapping[str, str]:
        """What may be shown of a message."""

    def keys_trouble(self, terminal: Terminal, session: Session) -> str:
        """Why the held keys of a session cannot be used any more; empty: they can."""
