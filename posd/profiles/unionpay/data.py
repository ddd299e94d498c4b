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
    }
)

KINDS: Mapping[TxnKind, KindRules] = MappingProxyType(
    {
        TxnKind.SALE: KindRules(reversible=True, side=Side.DEBIT),
        TxnKind.VOID: KindRules(reversible=True, side=Side.CREDIT, needs_original=True),
        TxnKind.BALANCE: KindRules(reversible=False, side=Side.NEITHER),
    }
)

KIND_OF: Mapping[tuple[str, str, str, str], TxnKind] = MappingProxyType(
    {(row.mti, row.processing_code, row.condition_code, row.type_code): kind for kind, row in MATRIX.items()}
)

REVERSAL_REASONS: Mapping[Why, str] = MappingProxyType(
    {
        Why.TIMEOUT: "98",
        Why.LINK: "98",
        Why.RESTART: "98",
        Why.TERMINAL: "98",
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
        Refusal.BAD_MAC: "A0",
        Refusal.UNKNOWN_TERMINAL: "97",
    }
)
"""Our own refusals in the dialect's words. A terminal takes 12 and 25 to its 0400 for success: only a 0400 without
an original is answered so."""

ANSWER_KINDS: Mapping[str, ExchangeKind] = MappingProxyType(
    {
        "0210": ExchangeKind.TRANSACTION,
        "0410": ExchangeKind.REVERSAL,
        "0510": ExchangeKind.TOTALS,
        "0810": ExchangeKind.SIGN_IN,
    }
)

MAC_COVERED = frozenset({"0100", "0110", "0200", "0210", "0220", "0230", "0400", "0410", "0620", "0630"})
"""Reference 1.11."""
