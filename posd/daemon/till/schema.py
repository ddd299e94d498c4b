"""The shapes of the JSON door: what a till may send, and what it is told. Data only.

They are said once: the same types refuse a body that does not fit and make the schemas of the OpenAPI document. Amounts
are decimal text with two places, times local ISO 8601; a card number stands in no answer.
"""

from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

KEY_CHARACTERS_MAX = 64
KEY_PATTERN = f"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{KEY_CHARACTERS_MAX - 1}}}$"
AMOUNT_PATTERN = r"^([1-9][0-9]{0,9}\.[0-9]{2}|0\.(0[1-9]|[1-9][0-9]))$"
ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"
REFERENCE_PATTERN = "^[!-~]([ -~]{0,62}[!-~])?$"

AmountText = Annotated[
    str,
    Meta(pattern=AMOUNT_PATTERN, description="Decimal text with two places, more than nothing.", examples=["12.30"]),
]
TransactionId = Annotated[
    str,
    Meta(
        pattern=ID_PATTERN,
        description="The id of a transaction as this door gives it: the Idempotency-Key of its order.",
        examples=["sale-0001"],
    ),
]
Reference = Annotated[
    str,
    Meta(pattern=REFERENCE_PATTERN, description="The till's own name for it: a receipt number.", examples=["R-1042"]),
]


DayText = Annotated[
    str, Meta(pattern="^(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$", description="MMDD", examples=["0302"])
]


class Card(Struct, forbid_unknown_fields=True, frozen=True):
    """A card's number and expiry, typed in. Taken only where the configuration says `card_data: accepted`."""

    number: Annotated[str, Meta(pattern="^[0-9]{12,19}$", examples=["6225880000000005"])]
    expiry: Annotated[str, Meta(pattern="^[0-9]{2}(0[1-9]|1[0-2])$", description="YYMM", examples=["3012"])]

    def __repr__(self) -> str:
        return "<Card>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce__(self) -> NoReturn:
        raise TypeError("a card is never pickled")


class NamedSale(Struct, forbid_unknown_fields=True, frozen=True):
    """A sale of another day or terminal, as its receipt names it."""

    rrn: Annotated[str, Meta(pattern="^[0-9A-Za-z]{12}$", description="Field 37 of the sale.")]
    date: DayText
    approval_code: Annotated[str, Meta(pattern="^[0-9A-Za-z]{6}$")] | UnsetType = UNSET


class SaleOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="sale"):
    """Charge a card. `tip` is the part of `amount` that is a tip."""

    amount: AmountText
    card: Card
    tip: AmountText | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class NamedPreauth(Struct, forbid_unknown_fields=True, frozen=True):
    """A pre-authorisation of another day or terminal, as its receipt names it."""

    approval_code: Annotated[str, Meta(pattern="^[0-9A-Za-z]{6}$", description="Field 38.")]
    date: DayText


class PreauthOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="preauth"):
    """Hold an amount on a card, to be completed or voided."""

    amount: AmountText
    card: Card
    reference: Reference | UnsetType = UNSET


class CompletionOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="completion"):
    """Charge what a pre-authorisation holds: one that posd knows (`original`), or one that is named, with its card."""

    amount: AmountText
    original: TransactionId | UnsetType = UNSET
    preauth: NamedPreauth | UnsetType = UNSET
    card: Card | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class PreauthVoidOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="preauth_void"):
    """Let go what a pre-authorisation holds; of one that is named by its receipt with its amount and card."""

    original: TransactionId | UnsetType = UNSET
    preauth: NamedPreauth | UnsetType = UNSET
    card: Card | UnsetType = UNSET
    amount: AmountText | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class CompletionVoidOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="completion_void"):
    """Undo a completion of the open batch."""

    original: TransactionId
    amount: AmountText | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class VoidOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="void"):
    """Undo a sale of the open batch. Its card is known from the sale; `amount`, where given, must be the sale's."""

    original: TransactionId
    amount: AmountText | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class RefundOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="refund"):
    """Give money back: of a sale that posd knows (`original`), or of one that is named, with its card."""

    amount: AmountText
    original: TransactionId | UnsetType = UNSET
    sale: NamedSale | UnsetType = UNSET
    card: Card | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class TipOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="tip"):
    """Give a sale of the open batch a tip, or change it. `amount` is the whole of it, tip included: with the sale's own
    amount the tip is taken away again. It has a ceiling (`advice.tip_percent_max`), and reaches the host later."""

    original: TransactionId
    amount: AmountText
    reference: Reference | UnsetType = UNSET


class OfflineSaleOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="offline_sale"):
    """Tell of a sale that has happened without the host, agreed by telephone. It counts, and reaches the host later."""

    amount: AmountText
    card: Card
    approval_code: Annotated[str, Meta(pattern="^[0-9A-Za-z]{6}$", description="As it was told.")] | UnsetType = UNSET
    reference: Reference | UnsetType = UNSET


class AdjustOrder(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="adjust"):
    """Correct what an offline sale of the open batch came to: `amount` takes the place of its own."""

    original: TransactionId
    amount: AmountText
    reference: Reference | UnsetType = UNSET


AnyOrder = (
    SaleOrder
    | VoidOrder
    | RefundOrder
    | PreauthOrder
    | CompletionOrder
    | PreauthVoidOrder
    | CompletionVoidOrder
    | TipOrder
    | OfflineSaleOrder
    | AdjustOrder
)


class Empty(Struct, forbid_unknown_fields=True, frozen=True):
    """An empty object; no body at all is the same."""


# --- answers -------------------------------------------------------------------------------------------------------


class Transaction(Struct, omit_defaults=False):
    """A transaction as it is; the words are those of `posd txn show --json`, which has more of them."""

    id: TransactionId
    request_id: Annotated[str, Meta(description="Its name in the journal.")]
    tid: str
    kind: Annotated[str, Meta(examples=["sale", "void", "refund"])]
    status: Annotated[str, Meta(examples=["approved", "declined", "unknown", "reversed", "in_doubt", "not_sent"])]
    text: Annotated[str, Meta(description="The status in plain words.")]
    amount: Annotated[str, Meta(examples=["12.30"])]
    amount_minor: int
    tip: str | None
    reference: str
    card: Annotated[str | None, Meta(description="First six, stars, last four.")]
    at: str
    batch: int
    stan: int
    rrn: str | None
    approval_code: str | None
    code: Annotated[str | None, Meta(description="The host's response code.")]
    meaning: str
    approved_minor: Annotated[int | None, Meta(description="Where the host approved a part.")]
    original: Annotated[str | None, Meta(description="What it refers to: of a tip or its void the sale.")]
    replaced_by: Annotated[
        str | None, Meta(description="The tip or adjustment whose amount counts in place of this one's.")
    ]
    confirm_by: Annotated[
        str | None, Meta(description="Confirm it before this, or it is reversed; null: nothing to confirm.")
    ]
    reversal: Annotated[dict[str, Any] | None, Meta(description="What is done to undo it.")]


class TransactionList(Struct):
    """The newest, oldest first."""

    transactions: list[Transaction]
    left_out: int


class SettlementAccepted(Struct):
    """The settlement is due now, and goes on whether or not anybody listens; see `batch_closed` in the events."""

    tid: str
    batch: int
    phase: str
    text: str


class TerminalHealth(Struct):
    tid: str
    signed_in: bool
    fenced: Annotated[str, Meta(description="Why nothing is done for this terminal; empty: it is served.")]
    reversals_owed: int
    refunds_in_doubt: int


class Health(Struct):
    """`good` is false when something needs a person; `findings` say what."""

    good: bool
    version: str
    up_s: int
    link_up: bool
    link_why: str
    terminals: list[TerminalHealth]
    findings: list[dict[str, Any]]


class Problem(Struct, omit_defaults=True):
    """RFC 9457. `detail` says what, where and what to do; `type` is for programs."""

    type: Annotated[str, Meta(examples=["urn:posd:problem:key_reused"])]
    title: str
    status: int
    detail: str
    where: Annotated[str, Meta(description="The member, header or parameter that is meant.")] = ""
    sent: Annotated[
        bool | None,
        Meta(description="Whether it may have left for the host; absent: the question does not rise."),
    ] = None
    transaction: Transaction | None = None


ANSWERS: tuple[type[Struct], ...] = (Transaction, TransactionList, SettlementAccepted, Health, Problem)
ORDERS: tuple[type[Struct], ...] = (
    *(SaleOrder, VoidOrder, RefundOrder),
    *(PreauthOrder, CompletionOrder, PreauthVoidOrder, CompletionVoidOrder),
    *(TipOrder, OfflineSaleOrder, AdjustOrder),
)


def schemas(ref_template: str) -> dict[str, Any]:
    """Every shape as JSON Schema 2020-12, by name; `ref_template` has a {name}."""
    components = msgspec.json.schema_components([*ANSWERS, *ORDERS, Empty], ref_template=ref_template)[1]
    return dict(components)
