"""What differs between NAC hosts (reference 2.2 to 2.6, "Dialect knobs"); config/nac.example.yaml says why of each."""

from dataclasses import dataclass

from posd.security.mac import Output


@dataclass(frozen=True, slots=True)
class Knobs:
    """`mac_algorithm` "none": no field 64. Times of fields 12 and 13 are local ones of `zone`."""

    tpdu: bytes = bytes.fromhex("6000010000")
    nii: str = "001"
    pad: str = "0"
    ascii_wire: bool = False
    totals_digits: int = 90
    times: str = "advices"
    more_follows: bool = False
    voids: str = "excluded"
    mac_algorithm: str = "none"
    mac_output: Output = "usual"
    zone: str = "Asia/Shanghai"
    lri_accepted: bool = False
    settle_with_reversal_owed: bool = False
    transfer_on_repeat: bool = False
    refunds: str = "reversed"
    reversal_mti: str = "0400"
    reversal_repeat_digit: bool = False
