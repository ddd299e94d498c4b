"""The field table of the NAC / Hypercom dialect (reference 2.2), as data.

The reference gives it as differences from UnionPay's table, and so it is here: a base and a difference. What stands in
fields 60, 62 and 63 is read in nac_subfields.py; there is no message header (reference 2.1).
"""

from posd.iso8583.codec import Codec
from posd.iso8583.spec import Field, Kind, Spec
from posd.iso8583.spec import VariablePad as VariablePad
from posd.iso8583.unionpay import LL, LLL, unionpay_spec

TEXT_MAX = 999
"""Longest field with an LLL prefix, where the reference gives no maximum."""

HEADER_BYTES = 0
"""Between TPDU and MTI stands nothing (reference 2.1)."""

# As in UnionPay's table. Field 22 has three digits in two bytes, right-justified: 012 is sent as 0012.
_SHARED = (
    *(2, 3, 4, 11, 12, 13, 14, 15, 22, 23, 25, 26, 32, 35, 36, 37, 38, 39),
    *(41, 42, 44, 49, 52, 53, 55, 57, 58, 59, 64),
)

_DIFFERENCES = (
    Field(24, "network international id", Kind.DIGITS, 3),
    Field(45, "track 1", Kind.BYTES_AS_TEXT, 76, LL),
    Field(48, "additional data", Kind.BYTES_AS_TEXT, TEXT_MAX, LLL),
    # The tip has 12 digits; answers may carry balances here, up to six of 20 characters.
    Field(54, "additional amounts", Kind.BYTES_AS_TEXT, 120, LLL),
    Field(60, "private 60", Kind.BYTES_AS_TEXT, TEXT_MAX, LLL),
    Field(61, "private 61", Kind.BYTES_AS_TEXT, TEXT_MAX, LLL),
    Field(62, "invoice number", Kind.BYTES_AS_TEXT, TEXT_MAX, LLL),
    Field(63, "private 63", Kind.BYTES_AS_TEXT, TEXT_MAX, LLL),
)


def nac_spec(*, pad: VariablePad = VariablePad.ZERO, ascii_wire: bool = False) -> Spec:
    """The dialect with its knobs (reference 2.2).

    `pad`: how odd variable-length numbers are filled up. `ascii_wire`: MTI, digits, tracks and length prefixes as
    ASCII digits, bitmap and binary fields as they are; no host of the reference speaks it, foreign dissectors do.
    """
    base = unionpay_spec(f22_left=False).fields
    spec = Spec.of("nac", [base[number].filled(pad) for number in _SHARED]).changed("nac", _DIFFERENCES)
    return spec.in_ascii("nac-ascii") if ascii_wire else spec


NAC = Codec(nac_spec())
"""The dialect with default knobs."""
