"""A TMK in two or three components, each known by one person: their checks, and the key that they make.

The components are XORed (reference 1.6 knows no other way; ANSI X9.24 calls it split knowledge). Every refusal says
which component it is about and nothing of its digits.
"""

import re
from collections.abc import Sequence
from functools import reduce
from operator import xor

from posd.errors import ConfigError
from posd.security.keys import SM4, KeyCipher, check_value

COMPONENTS_MIN, COMPONENTS_MAX = 2, 3
PARITY_BIT = 0x01


def component(text: str, cipher: KeyCipher, *, any_parity: bool = False) -> bytes:
    """A component as somebody typed it; blanks between the digits are ignored.

    Raises ConfigError: not hexadecimal, of another length, all zeros, or (DES) a byte without odd parity, which is a
    typing error nearly always; `any_parity`: these components have none.
    """
    digits = re.sub(r"[\s-]", "", text)
    lengths = [2 * length for length in cipher.tmk_bytes]
    if len(digits) not in lengths or re.fullmatch(r"[0-9A-Fa-f]+", digits, re.ASCII) is None:
        wanted = " or ".join(map(str, sorted(lengths, reverse=True)))
        raise ConfigError(f"a component has {wanted} hexadecimal digits; these are {len(digits)} characters")
    key = bytes.fromhex(digits)
    if cipher is not SM4 and not any_parity and (at := _without_odd_parity(key)) is not None:
        what = f"digits {2 * at + 1} and {2 * at + 2} have no odd parity: most likely a typing error"
        raise ConfigError(f"{what}; type it again, or say --any-parity if the components have none")
    if _is_zero(key, cipher):
        raise ConfigError("a component of zeros hides nothing; ask the acquirer for another")
    return key


def combined(components: Sequence[bytes], cipher: KeyCipher) -> bytes:
    """The key. Raises ConfigError for components that cannot belong together."""
    if not COMPONENTS_MIN <= len(components) <= COMPONENTS_MAX:
        raise ConfigError(f"a TMK is made of {COMPONENTS_MIN} or {COMPONENTS_MAX} components, not of {len(components)}")
    if len({len(one) for one in components}) > 1:
        lengths = ", ".join(str(2 * len(one)) for one in components)
        raise ConfigError(f"the components have different lengths ({lengths} digits); one is not of this key")
    if len({_without_parity(one, cipher) for one in components}) < len(components):
        raise ConfigError("two components are equal: one was entered twice; nothing was kept")
    key = bytes(reduce(xor, column) for column in zip(*components, strict=True))
    if _is_zero(key, cipher):
        raise ConfigError("the components make a key of zeros; nothing was kept")
    return key


def component_check_value(key: bytes, cipher: KeyCipher) -> str:
    """What is printed beside a component or a key; many sheets show its first 6 digits only."""
    return check_value(key, cipher)


def require_check_value(found: str, expected: str) -> None:
    """Whether a check value is the one of the acquirer's letter: 4 to 8 leading digits. Raises ConfigError."""
    digits = re.sub(r"\s", "", expected).upper()
    if re.fullmatch(r"[0-9A-F]{4,8}", digits) is None:
        raise ConfigError("a check value has 4 to 8 hexadecimal digits")
    if not found.startswith(digits):
        raise ConfigError(f"the key's check value is {found}, not the {digits} that was given; nothing was kept")


def _without_odd_parity(key: bytes) -> int | None:
    return next((at for at, byte in enumerate(key) if byte.bit_count() % 2 == 0), None)


def _without_parity(key: bytes, cipher: KeyCipher) -> bytes:
    return key if cipher is SM4 else bytes(byte & ~PARITY_BIT for byte in key)


def _is_zero(key: bytes, cipher: KeyCipher) -> bool:
    return not any(_without_parity(key, cipher))
