"""Components of a TMK: what is refused, and the key that they make."""

import pytest

from posd.errors import ConfigError
from posd.security.components import combined, component, component_check_value, require_check_value
from posd.security.keys import DES, SM4

ONE = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
OTHER = bytes.fromhex("1A2A4C4C5E5E707083A2B5C4D5E6F701")
THIRD = bytes.fromhex("1F1F1F1F0E0E0E0E3131313167676767")


def test_a_key_is_the_xor_of_its_components() -> None:
    key = combined([ONE, OTHER, THIRD], DES)
    assert bytes(a ^ b ^ c for a, b, c in zip(ONE, OTHER, THIRD, strict=True)) == key
    assert combined([THIRD, ONE, OTHER], DES) == key
    assert combined([ONE, OTHER], DES) != key


def test_blanks_are_ignored_and_case_is_too() -> None:
    assert component("01234567 89abcdef\tFEDC-BA98 76543210 ", DES) == ONE
    assert component("0123456789ABCDEF", DES) == ONE[:8]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "32 or 16 hexadecimal digits; these are 0 characters"),
        ("0123", "these are 4 characters"),
        (ONE.hex()[:-1], "these are 31 characters"),
        (ONE.hex()[:-1] + "G", "these are 32 characters"),
        ("０" * 32, "these are 32 characters"),
        (ONE.hex()[:-2] + "11", "digits 31 and 32 have no odd parity"),
        ("01" * 16, "a component of zeros hides nothing"),
    ],
)
def test_what_is_no_component_is_said_without_its_digits(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        component(text, DES)
    said = str(refused.value)
    assert why in said
    assert "\n" not in said
    assert len(text) < 8 or text[:8].lower() not in said.lower()


def test_components_without_parity_are_taken_when_somebody_says_so() -> None:
    assert component("00" * 15 + "12", DES, any_parity=True) == bytes(15) + b"\x12"
    with pytest.raises(ConfigError, match="zeros"):
        component("00" * 16, DES, any_parity=True)


def test_sm4_has_no_parity_and_one_length() -> None:
    assert component("00" * 15 + "12", SM4) == bytes(15) + b"\x12"
    with pytest.raises(ConfigError, match="32 hexadecimal digits"):
        component("0123456789ABCDEF", SM4)


@pytest.mark.parametrize(
    ("components", "why"),
    [
        ([ONE], "2 or 3 components, not of 1"),
        ([ONE, OTHER, THIRD, ONE], "not of 4"),
        ([ONE, OTHER[:8]], "different lengths"),
        ([ONE, ONE], "two components are equal"),
        ([ONE, OTHER, ONE], "two components are equal"),
        ([ONE, bytes(byte ^ 1 for byte in ONE)], "two components are equal"),
        ([ONE, OTHER, bytes(a ^ b for a, b in zip(ONE, OTHER, strict=True))], "a key of zeros"),
    ],
)
def test_components_that_cannot_belong_together(components: list[bytes], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        combined(components, DES)


def test_a_check_value_is_compared_by_the_digits_that_are_given() -> None:
    kcv = component_check_value(ONE, DES)
    assert kcv == "08D7B4FB"
    for given in ("08D7B4FB", "08d7 b4", "08D7"):
        require_check_value(kcv, given)
    for given, why in (("08D7B5", "is 08D7B4FB, not the 08D7B5"), ("08", "4 to 8"), ("08D7B4FB62", "4 to 8")):
        with pytest.raises(ConfigError, match=why):
            require_check_value(kcv, given)
