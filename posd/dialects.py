"""What the dialects differ in before anything is read: the defaults of each, and the settings that only one has."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

UNIONPAY, NAC = "unionpay", "nac"

TOTALS_LENGTHS = (30, 33, 36, 90)


def _three_digits(text: str) -> str:
    if not (len(text) == 3 and text.isascii() and text.isdigit()):
        raise ValueError('must be 3 digits; write it as "001"')
    return text


def _totals_digits(count: int) -> int:
    if count not in TOTALS_LENGTHS:
        raise ValueError("must be 90, 36, 33 or 30; ask the acquirer, 90 is the usual one")
    return count


class NacSettings(BaseModel):
    """The knobs of the NAC dialect (reference, "Dialect knobs" and open question 7); config/nac.example.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nii: Annotated[str, AfterValidator(_three_digits)] = "001"
    logon: Literal["required", "none"] = "required"
    logon_after_close: Literal["no", "yes"] = "no"
    pad: Literal["0", "F", "right"] = "0"
    wire: Literal["bcd", "ascii"] = "bcd"
    length: Literal["binary", "bcd", "inclusive"] = "binary"
    totals_digits: Annotated[int, AfterValidator(_totals_digits)] = 90
    times: Literal["advices", "always"] = "advices"
    more_follows: Literal["no", "yes"] = "no"
    voids: Literal["excluded", "credited"] = "excluded"
    settle_with_reversal_owed: Literal["no", "yes"] = "no"
    transfer_on_repeat: Literal["unconfirmed", "upload"] = "unconfirmed"
    refunds: Literal["reversed", "in_doubt"] = "reversed"
    reversal_mti: Literal["0400", "0420"] = "0400"
    reversal_repeat_digit: Literal["no", "yes"] = "no"
    reversal_of_nothing: Literal["00", "78"] = "00"
    totals_timeout_factor: Annotated[float, Field(ge=1, le=10)] = 1.5
    batch_number_first: Annotated[int, Field(ge=1, le=999_999)] = 1


HOST_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        UNIONPAY: {},
        NAC: {
            "tpdu": "6000010000",
            "header": "",
            "header_bytes": 0,
            "lri": "refuse",
            "mac_algorithm": "none",
            "reversal_success_codes": ["00"],
        },
    }
)
"""Of `host`, where a dialect's are not those of the field table (reference 2.1, 2.6)."""

ON_STUCK_DEFAULT: Mapping[str, str] = MappingProxyType({UNIONPAY: "continue", NAC: "block"})
"""Reference 1.10 and 2.6: what a reversal does that cannot be delivered."""

UNIONPAY_ONLY = frozenset(
    {"header", "header_bytes", "sign_in", "mak", "sm4_key_block", "sm4_security_digit", "sm4_pin_block_bytes"}
    | {"track_encryption", "partial_approval", "sign_off_after_close", "refund_repeat", "operator"}
    | {"parameters", "field_22", "field_23", "field_61", "pad"}
    | {"totals_groups", "upload_records_max", "end_without_items"}
)
"""Settings of `host` that have no meaning with profile: nac."""


def with_defaults(host: Any) -> Any:
    """`host` as it stands in a file, with what its dialect has otherwise; anything else than a mapping as it is."""
    if not isinstance(host, dict):
        return host
    return {**HOST_DEFAULTS.get(str(host.get("profile")), {}), **host}
