"""The UnionPay dialect as data: which transaction is which, what it carries, what our refusals are called.

Sources: reference 1.3 (field 60), 1.8 (matrix and field lists), 1.10 (reversals), 1.13 (codes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.rules import KindRules, OriginalRules, Side, TxnKind, Upload, Why

CURRENCY = "156"
BATCH_ADOPTED_MAX = 999_998
"""A number in an 0810 is adopted from 1 to this (reference 1.6)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the transaction matrix, and the fields that are passed on from the terminal.

    `names`: fields with which it names its original, of 37, 38 and 61. `dated`: field 61 goes on with the original's
    date. `security`: field 53 is there without a PIN too. `reversal_61`: digits of field 61 in its reversal (reference
    1.10): 0 none, 12 its own batch and trace, 16 those and 0000. `by_code`: its original may be one that only its
    terminal knows, by approval code and date. `given`: an advice names what the terminal gave, of no transaction of
    ours. `scheme`: field 63.
    """

    mti: str
    processing_code: str
    condition_code: str
    type_code: str
    passed_on: tuple[int, ...]
    has_amount: bool = True
    names: tuple[int, ...] = ()
    dated: bool = False
    security: bool = False
    reversal_61: int = 0
    by_code: bool = False
    given: tuple[int, ...] = ()
    scheme: str = ""


_CARD = (2, 14, 22, 23, 26, 35, 36, 52, 53, 55, 59)
_CARD_OF_A_VOID = (2, 14, 22, 23, 26, 35, 36, 52, 53)
_LOAD = (*_CARD, 48, 62)

_OWN = (37, 38, 61)


def _by_code(mti: str, processing_code: str, type_code: str) -> Row:
    """What ends a pre-authorisation, of this terminal's or another's."""
    return Row(
        *(mti, processing_code, "06", type_code, _CARD_OF_A_VOID),
        names=(38, 61),
        dated=True,
        security=True,
        reversal_61=16,
        by_code=True,
    )


MATRIX: Mapping[TxnKind, Row] = MappingProxyType(
    {
        TxnKind.SALE: Row("0200", "000000", "00", "22", _CARD),
        TxnKind.VOID: Row("0200", "200000", "00", "23", _CARD_OF_A_VOID, names=_OWN, security=True, reversal_61=12),
        TxnKind.BALANCE: Row("0200", "310000", "00", "01", (2, 14, 22, 23, 26, 35, 52, 53, 55), has_amount=False),
        TxnKind.REFUND: Row("0220", "200000", "00", "25", (2, 14, 22, 26, 35, 36, 52, 53)),
        TxnKind.PREAUTH: Row("0100", "030000", "06", "10", _CARD),
        TxnKind.PREAUTH_VOID: _by_code("0100", "200000", "11"),
        TxnKind.COMPLETION: _by_code("0200", "000000", "20"),
        TxnKind.COMPLETION_VOID: Row(
            *("0200", "200000", "06", "21", _CARD_OF_A_VOID),
            names=_OWN,
            dated=True,
            security=True,
            reversal_61=16,
        ),
        TxnKind.EC_LOAD: Row("0200", "600000", "91", "45", _LOAD),
        TxnKind.EC_CASH_LOAD: Row("0200", "630000", "91", "46", _LOAD),
        TxnKind.EC_TRANSFER_LOAD: Row("0200", "620000", "91", "47", _LOAD),
        TxnKind.EC_CASH_LOAD_VOID: Row(
            *("0200", "170000", "91", "51", (*_CARD_OF_A_VOID, 55, 62)), names=_OWN, reversal_61=12
        ),
        TxnKind.COMPLETION_NOTICE: Row("0220", "000000", "06", "24", (), names=(38, 61), dated=True, by_code=True),
        TxnKind.OFFLINE_SALE: Row("0220", "000000", "00", "30", (), given=(38, 61)),
        TxnKind.ADJUST: Row("0220", "000000", "00", "32", (), names=(38, 61)),
        TxnKind.TIP: Row("0220", "000000", "00", "34", (), names=(38, 61)),
        TxnKind.EC_SALE: Row("0200", "000000", "00", "36", (), scheme="CUP"),
        TxnKind.EC_REFUND: Row("0220", "200000", "00", "27", (*_CARD_OF_A_VOID, 55), names=_OWN, dated=True),
    }
)

COMPLETION_PERCENT_MAX = 115
"""A completion may take up to so much of the held amount [L: general knowledge, the reference does not say], unless the
acquirer says otherwise: host.completion_percent_max."""


def _of(kind: TxnKind, **more: Any) -> OriginalRules:
    return OriginalRules(frozenset({kind}), **more)


def _voids(kind: TxnKind, **more: Any) -> OriginalRules:
    return _of(kind, takes_back=True, **more)


def _replaces(*kinds: TxnKind, **more: Any) -> OriginalRules:
    """The new amount, the tip in it, in place of the old one."""
    return OriginalRules(frozenset(kinds), replaces=True, percent_max=None, **more)


def _advice(side: Side, original: OriginalRules | None = None) -> KindRules:
    """Never reversed (reference 1.10), uploaded alone (record types 1, 2 and 4), never deferred (D23)."""
    return KindRules(False, side, original, never_deferred=True, upload=Upload.ALONE, advice=True)


def _refund(of: TxnKind) -> KindRules:
    """Online, never stored and never reversed (D13); record type 4."""
    original = _of(of, known=False, shared=True)
    return KindRules(False, Side.CREDIT, original, never_deferred=True, in_doubt=True, upload=Upload.ALONE)


_SCRIPTED = frozenset({TxnKind.SALE, TxnKind.BALANCE, TxnKind.PREAUTH}) | {
    TxnKind.EC_LOAD,
    TxnKind.EC_CASH_LOAD,
    TxnKind.EC_TRANSFER_LOAD,
}
"""Where an issuer answers a chip, and may send scripts with it."""

_DEBIT, _CREDIT, _NEITHER = Side.DEBIT, Side.CREDIT, Side.NEITHER
_CHIP = Upload.NONE

KINDS: Mapping[TxnKind, KindRules] = MappingProxyType(
    {
        TxnKind.SALE: KindRules(True, _DEBIT, certified=True),
        TxnKind.VOID: KindRules(True, _CREDIT, _voids(TxnKind.SALE)),
        TxnKind.BALANCE: KindRules(False, _NEITHER, has_amount=False, upload=_CHIP),
        TxnKind.REFUND: _refund(TxnKind.SALE),
        TxnKind.PREAUTH: KindRules(True, _NEITHER, upload=_CHIP, certified=True),
        TxnKind.PREAUTH_VOID: KindRules(True, _NEITHER, _voids(TxnKind.PREAUTH, known=False), upload=_CHIP),
        TxnKind.COMPLETION: KindRules(
            True, _DEBIT, _of(TxnKind.PREAUTH, known=False, percent_min=0, percent_max=COMPLETION_PERCENT_MAX)
        ),
        TxnKind.COMPLETION_VOID: KindRules(True, _CREDIT, _voids(TxnKind.COMPLETION)),
        # Reference 1.6 names the designated load on neither side: account and purse are the same holder's.
        TxnKind.EC_LOAD: KindRules(True, _NEITHER, upload=_CHIP, certified=True),
        # Whatever counts is uploaded: a load with field 55 as its chip's detail (record type 5), one without it and the
        # void like a sale and its void (type 3) [M]: reference 1.7 has no other record for them.
        TxnKind.EC_CASH_LOAD: KindRules(True, _CREDIT, certified=True),
        TxnKind.EC_TRANSFER_LOAD: KindRules(True, _DEBIT, certified=True),
        TxnKind.EC_CASH_LOAD_VOID: KindRules(True, _DEBIT, _voids(TxnKind.EC_CASH_LOAD)),
        TxnKind.COMPLETION_NOTICE: _advice(
            _DEBIT, _of(TxnKind.PREAUTH, known=False, percent_min=0, percent_max=COMPLETION_PERCENT_MAX)
        ),
        TxnKind.OFFLINE_SALE: _advice(_DEBIT),
        TxnKind.ADJUST: _advice(_DEBIT, _replaces(TxnKind.OFFLINE_SALE, TxnKind.ADJUST, percent_min=0)),
        TxnKind.TIP: _advice(_DEBIT, _replaces(TxnKind.SALE, TxnKind.OFFLINE_SALE, TxnKind.TIP, tips=True)),
        TxnKind.EC_SALE: _advice(_DEBIT),
        # Electronic cash was spent off line, but it is given back to an account: the host says whether (D13), and 60.1
        # is one of the online ones (reference 1.8).
        TxnKind.EC_REFUND: _refund(TxnKind.EC_SALE),
        TxnKind.SCRIPT_RESULT: KindRules(
            False,
            _NEITHER,
            OriginalRules(_SCRIPTED, known=False, reports=True),
            upload=_CHIP,
            advice=True,
            has_amount=False,
            first=True,
        ),
    }
)
"""Reversible, totals, original, upload (reference 1.6, 1.7, 1.8, 1.10)."""


KIND_OF: Mapping[tuple[str, str, str, str], TxnKind] = MappingProxyType(
    {(row.mti, row.processing_code, row.condition_code, row.type_code): kind for kind, row in MATRIX.items()}
)

MTI_OF: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {(row.processing_code, row.condition_code, row.type_code): row.mti for row in MATRIX.values()}
)
"""Whose 0400 it is: field 3, field 25 and 60.1 are those of the original (reference 1.10)."""

TOLD_BY_KEY = frozenset({TxnKind.SALE, TxnKind.VOID, TxnKind.BALANCE, TxnKind.REFUND})
"""Kinds whose fingerprint is amount and card alone (D6): so it stands in journals, and so it stays."""

REFUND_SCHEME = "000"
"""Field 63 of a refund (reference 1.5)."""

MANUAL_ENTRY = "01"
"""Field 22, first two digits: the number was typed in."""

ENCRYPTED_TRACKS = "1"
"""Field 53, third digit (reference 1.5)."""

TRACKS = (35, 36)

NO_SECURITY_CONTROL = "0600000000000000"
"""Field 53 without PIN block: double-length keys (sample B7), as every TDK of this dialect is."""

PARTIAL_ALLOWED = "1"
"""Field 60.6 (reference 1.3, D15)."""

IN_PART = frozenset({TxnKind.SALE, TxnKind.PREAUTH})
"""What may be approved in part: nothing that takes back, completes or loads is done by halves."""

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
        Why.NOT_SENT: "98",
        Why.MAC: "A0",
        Why.UNREADABLE: "06",
        Why.UNCONFIRMED: "06",
        Why.PARTIAL: "96",
        Why.REFUSED_BY_CHIP: "96",
    }
)
"""Field 39 of a 0400 (reference 1.10)."""

MAGNETIC_RECORDS_MAX = 8
"""In one upload message (reference 1.7)."""

REASONS = frozenset(REVERSAL_REASONS.values())

PAN_IN_REVERSAL = frozenset({"01", "05", "07", "95", "96", "98"})
"""Entry modes, first two digits, with which a 0400 carries field 2 (reference 1.10)."""

SERVED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType({"004": ("004", "003")})
"""Sign-in codes of a terminal that our own answer can serve: a 004 block begins with a 003 block (reference 1.6)."""

BLOCK_003_BYTES = 40

PARAMETERS, STATUS = "0800/360", "0820/362"
"""Management messages of our own, as MTI and 60.3 (reference 1.3)."""

WANTED_FUNCTIONS: Mapping[str, str] = MappingProxyType({"1": PARAMETERS, "2": STATUS})
"""Header digit 6 that asks for one (reference 1.1)."""

PASSED_ON = frozenset(
    {PARAMETERS, STATUS}
    | {f"0800/{code}" for code in ("370", "371", "373", "380", "381", "390", "391", "394", "395")}
    | {f"0800/{code}" for code in ("396", "397", "398", "399")}
    | {f"0820/{code}" for code in ("372", "373", "382")}
)
"""Management messages of a terminal that are the host's to answer (reference 1.3)."""

MANAGED = frozenset(one[5:] for one in PASSED_ON)

SIGN_OFF, ECHO = "002", "301"
SCRIPT_NOTICE = "951"
SETTLEMENT, END_UNBALANCED, END_BALANCED = "201", "202", "207"

REFUSALS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.NOT_SENT: "91",
        Refusal.OUTCOME_UNKNOWN: "98",
        Refusal.NO_ORIGINAL: "25",
        Refusal.ALREADY_VOIDED: "12",
        Refusal.ALREADY_USED: "12",
        Refusal.CARD_DIFFERS: "14",
        Refusal.AMOUNT_DIFFERS: "64",
        Refusal.AMOUNT_INVALID: "13",
        Refusal.KEY_REUSED: "94",
        Refusal.NUMBER_TAKEN: "94",
        Refusal.REVERSED_IN_ADVANCE: "12",
        Refusal.SIGN_IN_FIRST: "A0",
        Refusal.BLOCKED: "96",
        Refusal.BATCH_FULL: "96",
        Refusal.BUSY: "96",
        Refusal.FENCED: "96",
        Refusal.RESTORED: "96",
        Refusal.MALFORMED: "30",
        Refusal.NOT_SUPPORTED: "40",
        Refusal.GO_ONLINE: "40",
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
        "0110": ExchangeKind.TRANSACTION,
        "0210": ExchangeKind.TRANSACTION,
        "0230": ExchangeKind.TRANSACTION,
        "0410": ExchangeKind.REVERSAL,
        "0630": ExchangeKind.TRANSACTION,
        "0510": ExchangeKind.TOTALS,
        "0810": ExchangeKind.SIGN_IN,
    }
)

MAC_COVERED = frozenset({"0100", "0110", "0200", "0210", "0220", "0230", "0400", "0410", "0620", "0630"})
"""Reference 1.11."""
