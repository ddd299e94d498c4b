"""The parameters that a host downloads with 0800/360, and what a terminal's status upload says (reference 1.14).

Field 62 is a row of two ASCII digits and a value of fixed length each. Pure; `Unreadable` holds no content.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from simulators.fields import Unreadable

MERCHANT_NAME_BYTES = 40
PHONE_DIGITS = 14
TAG_CHARS = 2
LENGTHS = {
    "11": 2,
    "12": 2,
    "13": 1,
    "14": PHONE_DIGITS,
    "15": PHONE_DIGITS,
    "16": PHONE_DIGITS,
    "17": PHONE_DIGITS,
    "18": 1,
    "19": 2,
    "20": 1,
    "21": 1,
    "22": MERCHANT_NAME_BYTES,
    "23": 1,
    "24": 1,
    "25": 1,
    "26": 4,
    "27": 2,
}
DIAL_STATISTICS = "51"
"""In a status upload only; its length is nowhere said: it takes the rest."""

Phone = Annotated[str, StringConstraints(pattern=r"^[0-9]{0,14}$")]


class ParameterSettings(BaseModel):
    """What is downloaded; a parameter that is not given is not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: int | None = Field(default=None, ge=1, le=99)
    redials: int | None = Field(default=None, ge=0, le=9)
    phone_1: Phone | None = None
    phone_2: Phone | None = None
    phone_3: Phone | None = None
    management_phone: Phone | None = None
    tip_allowed: bool | None = None
    tip_percent: int | None = Field(default=None, ge=0, le=99)
    manual_entry: bool | None = None
    auto_sign_off: bool | None = None
    merchant_name: str | None = None
    resend_times: int | None = Field(default=None, ge=0, le=9)
    offline_upload: int | None = Field(default=None, ge=0, le=9)
    tmk_index: int | None = Field(default=None, ge=0, le=9)
    transactions: str | None = Field(default=None, pattern=r"^[0-9A-Fa-f]{8}$", description="tag 26, 4 bytes in hex")
    offline_max: int | None = Field(default=None, ge=0, le=99)

    @field_validator("merchant_name")
    @classmethod
    def _fits(cls, name: str | None) -> str | None:
        try:
            size = len((name or "").encode("gbk"))
        except UnicodeEncodeError:
            raise ValueError("a character that GBK does not have") from None
        if size > MERCHANT_NAME_BYTES:
            raise ValueError(f"{size} bytes in GBK, at most {MERCHANT_NAME_BYTES}")
        return name

    @property
    def block(self) -> bytes:
        """Field 62 of the 0810; empty when nothing is given."""
        return b"".join(_written(tag, getattr(self, name), write) for tag, (name, write) in _TAGS.items())


@dataclass(frozen=True, slots=True)
class Status:
    """A status upload: values as text by tag (merchant name from GBK, tag 26 in hex)."""

    values: dict[str, str]

    @classmethod
    def parse(cls, block: bytes) -> "Status":
        """Unreadable names the tag, or says that the block is cut short."""
        values: dict[str, str] = {}
        at = 0
        while at < len(block):
            tag = block[at : at + TAG_CHARS].decode("latin-1")
            size = len(block) if tag == DIAL_STATISTICS else LENGTHS.get(tag)
            value = block[at + TAG_CHARS : at + TAG_CHARS + (size or 0)]
            if size is None or tag in values or (len(value) < size and tag != DIAL_STATISTICS):
                raise Unreadable(f"field 62: at byte {at} no whole parameter of 1.14")
            values[tag] = _read(tag, value)
            at += TAG_CHARS + size
        return cls(values)


def _digits(size: int) -> Callable[[object], bytes]:
    return lambda value: f"{int(str(value)):0{size}d}".encode()


def _flag(value: object) -> bytes:
    return b"1" if value else b"0"


def _phone(value: object) -> bytes:
    return str(value).encode().ljust(PHONE_DIGITS)


def _name(value: object) -> bytes:
    return str(value).encode("gbk").ljust(MERCHANT_NAME_BYTES)


def _bitmap(value: object) -> bytes:
    return bytes.fromhex(str(value))


_TAGS: dict[str, tuple[str, Callable[[object], bytes]]] = {
    "12": ("timeout_s", _digits(2)),
    "13": ("redials", _digits(1)),
    "14": ("phone_1", _phone),
    "15": ("phone_2", _phone),
    "16": ("phone_3", _phone),
    "17": ("management_phone", _phone),
    "18": ("tip_allowed", _flag),
    "19": ("tip_percent", _digits(2)),
    "20": ("manual_entry", _flag),
    "21": ("auto_sign_off", _flag),
    "22": ("merchant_name", _name),
    "23": ("resend_times", _digits(1)),
    "24": ("offline_upload", _digits(1)),
    "25": ("tmk_index", _digits(1)),
    "26": ("transactions", _bitmap),
    "27": ("offline_max", _digits(2)),
}


def _written(tag: str, value: object, write: Callable[[object], bytes]) -> bytes:
    return b"" if value is None else tag.encode() + write(value)


def _read(tag: str, value: bytes) -> str:
    if tag == "26":
        return value.hex().upper()
    return value.decode("gbk", "replace").rstrip()
