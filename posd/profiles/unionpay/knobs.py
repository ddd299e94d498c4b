"""What differs between acquirers of this dialect (reference, "Dialect knobs"); the defaults are the reference's."""

from dataclasses import dataclass
from typing import Literal

from posd.iso8583.unionpay import PIN_BLOCK_BYTES
from posd.profiles.unionpay.data import MAGNETIC_RECORDS_MAX
from posd.security.mac import DEFAULT, Output


@dataclass(frozen=True, slots=True)
class Knobs:
    """`header` decides how many header bytes both sides have. `field_22`, `field_23`: on which side their digits stand;
    `pad`: how odd numbers of variable length are filled up. `totals_groups`: 2, or 1 with foreign cards in it.
    `ends_without_items`: an end message follows agreed totals although there is nothing to upload.
    """

    tpdu: bytes = bytes.fromhex("6000030000")
    header: bytes = bytes.fromhex("603100310100")
    lri_accepted: bool = True
    sign_in: str = "004"
    operator: str = "01 "
    zone: str = "Asia/Shanghai"
    partial_approval: bool = False
    mac_algorithm: str = DEFAULT
    mac_output: Output = "usual"
    mak: str = "single"
    sm4_key_block: str = "with_tdk"
    sm4_security_digit: str = "6"
    sm4_pin_block_bytes: int = PIN_BLOCK_BYTES
    track_encryption: bool = False
    field_22: Literal["left", "right"] = "left"
    field_23: Literal["left", "right"] = "right"
    field_61: Literal["bcd", "ascii"] = "bcd"
    pad: Literal["0", "F", "right"] = "0"
    totals_groups: int = 2
    upload_records_max: int = MAGNETIC_RECORDS_MAX
    ends_without_items: bool = True
