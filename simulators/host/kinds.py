"""The transaction matrix as the acquirer reads it (reference 1.6, 1.7, 1.8, 1.10), as data.

One row a kind: how it is told apart on the wire, on which side of the totals it counts, how a batch upload carries
it, and what its reversal says in field 61.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    SALE = "sale"
    SALE_VOID = "sale_void"
    REFUND = "refund"
    BALANCE = "balance"
    PREAUTH = "preauth"
    PREAUTH_VOID = "preauth_void"
    COMPLETION = "completion"
    COMPLETION_VOID = "completion_void"
    COMPLETION_NOTICE = "completion_notice"
    OFFLINE_SALE = "offline_sale"
    ADJUST = "adjust"
    TIP = "tip"
    EC_SALE = "ec_sale"
    EC_REFUND = "ec_refund"
    EC_LOAD = "ec_load"
    EC_CASH_LOAD = "ec_cash_load"
    EC_TRANSFER_LOAD = "ec_transfer_load"
    EC_CASH_LOAD_VOID = "ec_cash_load_void"


class Side(StrEnum):
    """Where a kind counts in field 48 of the totals (1.6)."""

    DEBIT = "debit"
    CREDIT = "credit"
    NEITHER = "neither"


class Upload(StrEnum):
    """How an unbalanced group uploads a kind (1.7): eight records a message, or one full message each."""

    RECORDS = "records"
    SINGLE = "single"
    CHIP_ONLY = "chip only"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of 1.8. `reversal61`: digits of field 61 in its reversal, None where it is never reversed (1.10).

    `advice`: booked once; a repeat after an approval is answered 94. `originals`: what field 61 may name: an
    adjustment, a tip or a void names the sale, and means it as it counts by now.
    """

    kind: Kind
    mti: str
    processing: str
    condition: str
    type_code: str
    side: Side
    upload: Upload
    reversal61: int | None = None
    advice: bool = False
    originals: frozenset[Kind] = frozenset()

    @property
    def reversible(self) -> bool:
        return self.reversal61 is not None


_DEBIT, _CREDIT, _NEITHER = Side.DEBIT, Side.CREDIT, Side.NEITHER
_MANY, _ONE, _CHIP = Upload.RECORDS, Upload.SINGLE, Upload.CHIP_ONLY


def _of(*kinds: Kind) -> frozenset[Kind]:
    return frozenset(kinds)


_TABLE = (
    Row(Kind.BALANCE, "0200", "310000", "00", "01", _NEITHER, _CHIP),
    Row(Kind.SALE, "0200", "000000", "00", "22", _DEBIT, _MANY, 0),
    Row(Kind.SALE_VOID, "0200", "200000", "00", "23", _CREDIT, _MANY, 12, originals=_of(Kind.SALE)),
    Row(Kind.REFUND, "0220", "200000", "00", "25", _CREDIT, _ONE),
    Row(Kind.PREAUTH, "0100", "030000", "06", "10", _NEITHER, _CHIP, 0),
    Row(Kind.PREAUTH_VOID, "0100", "200000", "06", "11", _NEITHER, _CHIP, 16, originals=_of(Kind.PREAUTH)),
    Row(Kind.COMPLETION, "0200", "000000", "06", "20", _DEBIT, _MANY, 16, originals=_of(Kind.PREAUTH)),
    Row(Kind.COMPLETION_VOID, "0200", "200000", "06", "21", _CREDIT, _MANY, 16, originals=_of(Kind.COMPLETION)),
    Row(Kind.COMPLETION_NOTICE, "0220", "000000", "06", "24", _DEBIT, _ONE, advice=True, originals=_of(Kind.PREAUTH)),
    Row(Kind.OFFLINE_SALE, "0220", "000000", "00", "30", _DEBIT, _ONE, advice=True),
    Row(
        Kind.ADJUST,
        "0220",
        "000000",
        "00",
        "32",
        _DEBIT,
        _ONE,
        advice=True,
        originals=_of(Kind.OFFLINE_SALE),
    ),
    Row(
        Kind.TIP,
        "0220",
        "000000",
        "00",
        "34",
        _DEBIT,
        _ONE,
        advice=True,
        originals=_of(Kind.SALE, Kind.OFFLINE_SALE),
    ),
    Row(Kind.EC_SALE, "0200", "000000", "00", "36", _DEBIT, _ONE, advice=True),
    Row(Kind.EC_REFUND, "0220", "200000", "00", "27", _CREDIT, _ONE),
    # 1.6 names the designated load on neither side; the account and the purse belong to one holder.
    Row(Kind.EC_LOAD, "0200", "600000", "91", "45", _NEITHER, _CHIP, 0),
    # 1.7 has no records for loads: with a chip their detail is one; else they are like sales of a stripe [M].
    Row(Kind.EC_CASH_LOAD, "0200", "630000", "91", "46", _CREDIT, _MANY, 0),
    Row(Kind.EC_TRANSFER_LOAD, "0200", "620000", "91", "47", _DEBIT, _MANY, 0),
    Row(Kind.EC_CASH_LOAD_VOID, "0200", "170000", "91", "51", _DEBIT, _MANY, 12, originals=_of(Kind.EC_CASH_LOAD)),
)

MATRIX: Mapping[Kind, Row] = MappingProxyType({row.kind: row for row in _TABLE})
_BY_WIRE = {(row.mti, row.processing, row.condition, row.type_code): row for row in _TABLE}
_BY_CODES = {(row.mti, row.processing, row.condition): row for row in reversed(_TABLE)}


def row_of(mti: str, processing: str | None, condition: str | None, type_code: str) -> Row | None:
    """The row of a request. A 60.1 that fits nothing takes the first row with the same field 3 and 25."""
    codes = (mti, processing or "", condition or "")
    return _BY_WIRE.get((*codes, type_code)) or _BY_CODES.get(codes)
