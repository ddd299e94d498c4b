"""Field 62 of a parameter download and of a status upload: two ASCII digits and a value of fixed length each
(reference 1.14).

Values are text, the merchant's name from GBK, the transaction bitmap hexadecimal. A block may end early.
"""

from collections.abc import Mapping
from types import MappingProxyType

from posd.errors import MalformedMessage

TAG_BYTES = 2
NAME_BYTES = 40
PHONE_BYTES = 14
BITMAP = "26"
NAME = "22"

TAGS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "11": ("reserved", 2),
        "12": ("timeout_s", 2),
        "13": ("redials", 1),
        "14": ("phone_1", PHONE_BYTES),
        "15": ("phone_2", PHONE_BYTES),
        "16": ("phone_3", PHONE_BYTES),
        "17": ("management_phone", PHONE_BYTES),
        "18": ("tip_allowed", 1),
        "19": ("tip_percent", 2),
        "20": ("manual_entry", 1),
        "21": ("auto_sign_off", 1),
        "22": ("merchant_name", NAME_BYTES),
        "23": ("resend_times", 1),
        "24": ("offline_upload", 1),
        "25": ("tmk_index", 1),
        "26": ("transactions", 4),
        "27": ("offline_max", 2),
    }
)
"""Tag -> name and length in bytes."""


def read(block: bytes) -> dict[str, str]:
    """Parameters by name. Raises MalformedMessage naming field and offset for an unknown tag or one that is cut."""
    found: dict[str, str] = {}
    at = 0
    while at < len(block):
        tag = block[at : at + TAG_BYTES].decode("latin-1")
        name, size = TAGS.get(tag, ("", 0))
        value = block[at + TAG_BYTES : at + TAG_BYTES + size]
        if not name or name in found or len(value) < size:
            raise MalformedMessage("no whole parameter that the reference has", field="62", offset=at)
        found[name] = value.hex().upper() if tag == BITMAP else _text(value)
        at += TAG_BYTES + size
    return found


def block(parameters: Mapping[str, str]) -> bytes:
    """The block of a status upload; what has no tag, or does not fit, is left out."""
    out = b""
    for tag, (name, size) in TAGS.items():
        if name in parameters and (value := _value(tag, parameters[name], size)) is not None:
            out += tag.encode() + value
    return out


def _text(value: bytes) -> str:
    """GBK, and for everything else ASCII; nothing that a screen would obey."""
    text = value.decode("gbk", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _value(tag: str, text: str, size: int) -> bytes | None:
    if tag == BITMAP:
        return bytes.fromhex(text) if len(text) == 2 * size else None
    raw = text.encode("gbk", "replace")
    if len(raw) > size:
        return None
    return raw.ljust(size) if size >= PHONE_BYTES else raw.rjust(size, b"0")
