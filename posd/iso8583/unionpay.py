"""The field table of the UnionPay direct-connect dialect (reference 1.2), as data.

Only the wire is said here; what fields mean, and which message carries which, is the profile's.
"""

from posd.iso8583.codec import Codec
from posd.iso8583.spec import Field, Kind, Pad, Spec, VariablePad

LL, LLL = 1, 2
PIN_BLOCK_BYTES = 8

_FIELDS = (
    Field(2, "primary account number", Kind.DIGITS, 19, LL, Pad.RIGHT),
    Field(3, "processing code", Kind.DIGITS, 6),
    Field(4, "amount", Kind.DIGITS, 12),
    Field(11, "system trace audit number", Kind.DIGITS, 6),
    Field(12, "local time", Kind.DIGITS, 6),
    Field(13, "local date", Kind.DIGITS, 4),
    Field(14, "expiry date", Kind.DIGITS, 4),
    Field(15, "settlement date", Kind.DIGITS, 4),
    Field(22, "entry mode", Kind.DIGITS, 3, pad=Pad.RIGHT),
    Field(23, "card sequence number", Kind.DIGITS, 3),
    Field(25, "condition code", Kind.DIGITS, 2),
    Field(26, "PIN capture code", Kind.DIGITS, 2),
    Field(32, "acquiring institution", Kind.DIGITS, 11, LL, Pad.RIGHT),
    Field(35, "track 2", Kind.TRACK, 37, LL, Pad.RIGHT),
    Field(36, "track 3", Kind.TRACK, 104, LLL, Pad.RIGHT),
    Field(37, "retrieval reference number", Kind.TEXT, 12),
    Field(38, "approval code", Kind.TEXT, 6),
    Field(39, "response code", Kind.TEXT, 2),
    Field(41, "terminal id", Kind.TEXT, 8),
    Field(42, "merchant id", Kind.TEXT, 15),
    Field(44, "additional response", Kind.BYTES_AS_TEXT, 25, LL),
    Field(48, "private data", Kind.DIGITS, 322, LLL, Pad.RIGHT),
    Field(49, "currency", Kind.TEXT, 3),
    Field(52, "PIN block", Kind.BINARY, PIN_BLOCK_BYTES),
    Field(53, "security control", Kind.DIGITS, 16),
    Field(54, "balances", Kind.BYTES_AS_TEXT, 40, LLL),
    Field(55, "IC data", Kind.BINARY, 255, LLL),
    Field(57, "private data 57", Kind.BYTES_AS_TEXT, 100, LLL),
    Field(58, "wallet data", Kind.BYTES_AS_TEXT, 100, LLL),
    Field(59, "terminal identity", Kind.BYTES_AS_TEXT, 600, LLL),
    # The table says 17 digits; the captured message A2 carries 19, so we read up to 19.
    Field(60, "custom 60", Kind.DIGITS, 19, LLL, Pad.RIGHT),
    Field(61, "original transaction", Kind.DIGITS, 29, LLL, Pad.RIGHT),
    Field(62, "custom 62", Kind.BINARY, 512, LLL),
    Field(63, "custom 63", Kind.BYTES_AS_TEXT, 163, LLL),
    Field(64, "MAC", Kind.BINARY, 8),
)


def unionpay_spec(
    *,
    f22_left: bool = True,
    f23_right: bool = True,
    f61_ascii: bool = False,
    with_f24: bool = False,
    pin_block_bytes: int = PIN_BLOCK_BYTES,
    pad: VariablePad = VariablePad.ZERO,
) -> Spec:
    """The dialect with its knobs ("Dialect knobs" at the end of the reference).

    `f22_left`: field 22 is left-justified (`021` as 0210), else right-justified. `f23_right`: field 23 is
    right-justified, else left. `f61_ascii`: field 61 is ASCII and counts bytes. `with_f24`: field 24 exists
    (variant framing, sample A8). `pin_block_bytes`: length of field 52, which may be 16 with SM4 (reference 1.12).
    `pad`: how odd numbers of variable length are filled up.
    """
    changes: list[Field] = []
    if not f22_left:
        changes.append(Field(22, "entry mode", Kind.DIGITS, 3, pad=Pad.LEFT))
    if not f23_right:
        changes.append(Field(23, "card sequence number", Kind.DIGITS, 3, pad=Pad.RIGHT))
    if f61_ascii:
        changes.append(Field(61, "original transaction", Kind.TEXT, 29, LLL))
    if pin_block_bytes != PIN_BLOCK_BYTES:
        changes.append(Field(52, "PIN block", Kind.BINARY, pin_block_bytes))
    if with_f24:
        changes.append(Field(24, "network international id", Kind.DIGITS, 3))
    return Spec.of("unionpay", _FIELDS).changed("unionpay", changes).filled(pad)


UNIONPAY = Codec(unionpay_spec())
"""The dialect with default knobs."""
