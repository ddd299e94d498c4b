"""The UnionPay dialect as data: which transaction is which, what it carries, what our refusals are called.

Sources: reference 1.3 (field 60), 1.8 (matrix and field lists), 1.10 (reversals), 1.13 (codes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.rules import KindRules, Side, TxnKind, Why

CURRENCY = "156"
BATCH_ADOPTED_MAX = 999_998
"""A number in an 0810 is adopted from 1 to this (reference 1.6)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the transaction matrix, and the fields that are passed on from the terminal."""

    mti: str
    processing_code: str
    condition_code: str
    type_code: str
    passed_on: tuple[int, ...]
    has_amount: bool = True


_CARD = (2, 14, 22, 23, 26, 35, 36, 52, 53, 55, 59)

MATRIX: Mapping[TxnKind, Row] = MappingProxyType(
    {
        TxnKind.SALE: Row("0200", "000000", "00", "22", _CARD),
        TxnKind.VOID: Row("0200", "200000", "00", "23", (2, 14, 22, 23, 26, 35, 36, 52, 53)),
        TxnKind.BALANCE: Row("0200", "310000", "00", "01", (2, 14, 22, 23, 26, 35, 52, 53, 55), has_amount=False),
        TxnKind.REFUND: Row("0220", "200000", "00", "25", (2, 14, 22, 26, 35, 36, 52, 53)),
    }
)

KINDS: Mapping[TxnKind, KindRules] = MappingProxyType(
    {
        TxnKind.SALE: KindRules(reversible=True, side=Side.DEBIT),
        TxnKind.VOID: KindRules(reversible=True, side=Side.CREDIT, needs_original=True),
        TxnKind.BALANCE: KindRules(reversible=False, side=Side.NEITHER),
        TxnKind.REFUND: KindRules(
            reversible=False, side=Side.CREDIT, never_deferred=True, in_doubt=True, uploaded_alone=True
        ),
    }
)

KIND_OF: Mapping[tuple[str, str, str, str], TxnKind] = MappingProxyType(
    {(row.mti, row.processing_code, row.condition_code, row.type_code): kind for kind, row in MATRIX.items()}
)

MTI_OF: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {(row.processing_code, row.condition_code, row.type_code): row.mti for row in MATRIX.values()}
)
"""Whose 0400 it is: field 3, field 25 and 60.1 are those of the original (reference 1.10)."""

REFUND_SCHEME = "000"
"""Field 63 of a refund (reference 1.5)."""

MANUAL_ENTRY = "01"
"""Field 22, first two digits: the number was typed in."""

ENCRYPTED_TRACKS = "1"
"""Field 53, third digit (reference 1.5)."""

PARTIAL_ALLOWED = "1"
"""Field 60.6 (reference 1.3, D15)."""

SIGN_IN_AGAIN = "3"

ATTENTION: Mapping[str, str] = MappingProxyType(
    {
        "1": "download the terminal's parameters",
        "2": "upload the terminal's status",
        SIGN_IN_AGAIN: "sign in again",
        "4": "update the CA public keys",
        "5": "download the IC parameters",
        "6": "update by TMS",
        "7": "download the card-BIN blacklist",
        "8": "download the exchange and fee rates",
        "9": "download the contactless parameters",
        "b": "download the QPS BIN table",
        "c": "download the QPS blacklist",
    }
)
"""Header digit 6 of an answer (reference 1.1)."""

REVERSAL_REASONS: Mapping[Why, str] = MappingProxyType(
    {
        Why.TIMEOUT: "98",
        Why.LINK: "98",
        Why.RESTART: "98",
        Why.TERMINAL: "98",
        Why.NOT_CONFIRMED: "98",
        Why.MAC: "A0",
        Why.UNREADABLE: "06",
        Why.UNCONFIRMED: "06",
        Why.PARTIAL: "96",
        Why.REFUSED_BY_CHIP: "96",
    }
)
"""Field 39 of a 0400 (reference 1.10)."""

REASONS = frozenset(REVERSAL_REASONS.values())

PAN_IN_REVERSAL = frozenset({"01", "05", "07", "95", "96", "98"})
"""Entry modes, first two digits, with which a 0400 carries field 2 (reference 1.10)."""

SERVED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType({"004": ("004", "003")})
"""Sign-in codes of a terminal that our own answer can serve: a 004 block begins with a 003 block (reference 1.6)."""

BLOCK_003_BYTES = 40

SIGN_OFF, ECHO = "002", "301"
SETTLEMENT, END_UNBALANCED, END_BALANCED = "201", "202", "207"

REFUSALS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.NOT_SENT: "91",
        Refusal.OUTCOME_UNKNOWN: "98",
        Refusal.NO_ORIGINAL: "25",
        Refusal.ALREADY_VOIDED: "12",
        Refusal.CARD_DIFFERS: "14",
        Refusal.AMOUNT_DIFFERS: "64",
        Refusal.AMOUNT_INVALID: "13",
        Refusal.KEY_REUSED: "94",
        Refusal.REVERSED_IN_ADVANCE: "12",
        Refusal.SIGN_IN_FIRST: "A0",
        Refusal.BLOCKED: "96",
        Refusal.BATCH_FULL: "96",
        Refusal.BUSY: "96",
        Refusal.FENCED: "96",
        Refusal.MALFORMED: "30",
        Refusal.NOT_SUPPORTED: "40",
        Refusal.NOT_REVERSIBLE: "06",
        Refusal.NOT_CONFIRMABLE: "06",
        Refusal.NOT_AUTHENTICATED: "58",
        Refusal.BAD_MAC: "A0",
        Refusal.UNKNOWN_TERMINAL: "97",
    }
)
"""Our own refusals in the dialect's words. A terminal takes 12 and 25 to its 0400 for success: only a 0400 without
an original is answered so."""

ANSWER_KINDS: Mapping[str, ExchangeKind] = MappingProxyType(
    {
        "0210": ExchangeKind.TRANSACTION,
        "0230": ExchangeKind.TRANSACTION,
        "0410": ExchangeKind.REVERSAL,
        "0510": ExchangeKind.TOTALS,
        "0810": ExchangeKind.SIGN_IN,
    }
)

MAC_COVERED = frozenset({"0100", "0110", "0200", "0210", "0220", "0230", "0400", "0410", "0620", "0630"})
"""Reference 1.11."""
