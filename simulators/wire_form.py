"""How the messages of one acquirer look on the wire (reference, "Dialect knobs"): what its terminals agree on with it.

The names are those of posd's settings.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from posd.iso8583.codec import Codec
from posd.iso8583.spec import VariablePad
from posd.iso8583.unionpay import PIN_BLOCK_BYTES, UNIONPAY, unionpay_spec


def _number(value: object) -> object:
    """A file's text as a number: a Literal takes no other type for it."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class WireForm(BaseModel):
    """`totals_groups`: how many the terminals send; the host answers as it was asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field_22: Literal["left", "right"] = "left"
    field_23: Literal["left", "right"] = "right"
    field_61: Literal["bcd", "ascii"] = "bcd"
    pad: Literal["0", "F", "right"] = "0"
    totals_groups: Annotated[Literal[1, 2], BeforeValidator(_number)] = 2

    def codec(self, pin_block_bytes: int = PIN_BLOCK_BYTES) -> Codec:
        """The messages of those who agreed on this."""
        spec = unionpay_spec(
            f22_left=self.field_22 == "left",
            f23_right=self.field_23 == "right",
            f61_ascii=self.field_61 == "ascii",
            pin_block_bytes=pin_block_bytes,
            pad=VariablePad(self.pad),
        )
        return UNIONPAY if spec == UNIONPAY.spec else Codec(spec)
