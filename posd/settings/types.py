"""The types of single settings: what one value alone can get wrong, said as `what; hint`. No text may echo a value."""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
)

from posd.addresses import Address as Address
from posd.addresses import AnyAddress, HostAddress, SerialAddress, TlsAddress, parse_address, parse_host, parse_tcp
from posd.yamlmarks import did_you_mean

FOLDER = "folder"
"""The key of the validation context under which relative paths find their folder."""

CREDENTIALS = "credentials"
"""The key of the validation context for the service manager's folder: a Path, or None outside of a service."""

HANDED_OVER = "handed over"
"""The key of the validation context for what systemd has handed to the running service, seen from outside: a Path."""

CREDENTIAL = "credential:"

PIN_BYTES = 32
PINS_MAX = 16
DAYS_MAX = 3_650

SECONDS_MAX = 604_800.0
FRAME_BYTES_MIN = 128
FRAME_BYTES_MAX = 65_535
SOCKET_PATH_BYTES_MAX = 107
CONNECTIONS_MAX = 4_096
TILL_CONNECTIONS_MAX = 256
CONFIRM_SECONDS_MAX = 3_600.0
"""An approval that waits longer for its till would hold the settlement up."""
KEY_WAIT_SECONDS_MAX = 5.0
"""Nothing else is done while a token is waited for; far below the watchdog's limit."""
TMK_INDEX_MAX = 9
"""One digit (parameter 25, reference 1.14)."""
ITEMS_MAX = 1_024
HEADER_BYTES = (0, 2, 6)
PIN_BLOCK_BYTES = (8, 16)
BIN_DIGITS = (6, 8)
SUCCESS_CODE = "00"
ROUTES_MAX = 8
FAILURES_MAX = 99


def _time_of_day(text: object) -> time:
    if isinstance(text, time):
        return text
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", str(text), re.ASCII)
    if match is None:
        raise ValueError('must be a time of day; write "23:00" or "23:00:30"')
    return time(int(match[1]), int(match[2]), int(match[3] or 0))


def _optional_time(text: object) -> time | None:
    return None if text in (None, "") else _time_of_day(text)


def _amount(text: object) -> int:
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"([0-9]{1,10})(?:\.([0-9]{2}))?", str(text), re.ASCII)
    if match is None:
        raise ValueError('must be an amount; write it with two decimals, as "1000.00"')
    return int(match[1]) * 100 + int(match[2] or 0)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _distinct(values: tuple[object, ...]) -> tuple[object, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same item stands here twice; keep one")
    return values


def _own_devices(values: tuple[AnyAddress, ...]) -> tuple[AnyAddress, ...]:
    """A line has one peer and one setting, whatever its parameters; a port speaks TLS or does not."""
    _distinct(tuple(each.device if isinstance(each, SerialAddress) else _tcp(each) for each in values))
    return values


def _tcp(address: Address | TlsAddress) -> Address:
    return address.tcp if isinstance(address, TlsAddress) else address


def _some(values: tuple[object, ...]) -> tuple[object, ...]:
    if not values:  # pydantic's own min_length also complains when an item is wrong
        raise ValueError("must not be empty; write one item a line, each after '- '")
    if len(values) > ITEMS_MAX:
        raise ValueError(f"more than {ITEMS_MAX} items; remove some")
    return values


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a missing zone is a KeyError, a folder of zones an OSError
        hint = did_you_mean(name, available_timezones())
        raise ValueError(f"not a time zone; {hint or 'write an IANA name such as Asia/Shanghai'}") from None
    return name


def _path(text: object, info: ValidationInfo) -> Path:
    if isinstance(text, Path):
        return text
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError("must be a path; write where the file is")
    if re.fullmatch(r"[0-9A-Fa-f]{16,64}", text.removeprefix(CREDENTIAL)):
        raise ValueError("looks like a key; write the path of a file that holds the key, never the key itself")
    context = info.context or {}
    folder = context.get(FOLDER)
    folder = folder if isinstance(folder, Path) else Path()
    if text.startswith(CREDENTIAL):
        return _credential(text.removeprefix(CREDENTIAL), context, folder)
    return folder / text


def _credential(name: str, context: Mapping[str, object], folder: Path) -> Path:
    """Where the service manager put the credential (systemd.exec(5), LoadCredential=).

    Outside of the service the file that the unit makes it of: LoadCredential=keys:FOLDER/keys gives the file
    keys/machine.key the name keys_machine.key. Where that is gone, because keys are sealed to the machine, what the
    running service was given: root may read it.
    """
    if re.fullmatch(r"[A-Za-z0-9@:_-][A-Za-z0-9@:._-]{0,254}", name, re.ASCII) is None:
        raise ValueError("not the name of a credential; write credential:keys_machine.key")
    if isinstance(given := context.get(CREDENTIALS), Path):
        return given / name
    beside, _, file = name.partition("_")
    here = folder / beside / file if file else folder / name
    handed = context.get(HANDED_OVER)
    if isinstance(handed, Path) and not os.path.exists(here) and os.path.exists(handed / name):
        return handed / name
    return here


def _socket(path: Path) -> Path:
    if len(bytes(path)) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"longer than {SOCKET_PATH_BYTES_MAX} bytes, too long for a Unix socket; use a shorter one")
    return path


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError('must be an IP address of this machine; write it as "192.0.2.7"') from None


def _optional_socket(text: object, info: ValidationInfo) -> Path | None:
    return None if text in (None, "") else _socket(_path(text, info))


def _optional_path(text: object, info: ValidationInfo) -> Path | None:
    return None if text in (None, "") else _path(text, info)


def _optional_tcp(text: object) -> Address | None:
    return None if text in (None, "") else parse_tcp(text)


def _pin(text: object) -> bytes:
    """SHA-256 of a public key: 64 hexadecimal digits, or base64 as curl and openssl have it."""
    if isinstance(text, bytes):
        return text
    said = str(text).removeprefix("sha256//").replace(":", "")
    try:
        pin = bytes.fromhex(said) if len(said) == 2 * PIN_BYTES else base64.b64decode(said, validate=True)
    except (ValueError, binascii.Error):
        pin = b""
    if len(pin) != PIN_BYTES:
        raise ValueError(
            "must be the SHA-256 of a public key, as 64 hexadecimal digits or base64; posd routes shows it"
        )
    return pin


def _matching(pattern: str, problem: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(problem)
        return text

    return check


def _header_bytes(count: int) -> int:
    if count not in HEADER_BYTES:
        raise ValueError("must be 6, 2 or 0; 6 is the usual one")
    return count


def _bin_digits(count: int) -> int:
    if count not in BIN_DIGITS:
        raise ValueError("must be 6 or 8; 8 only where the cards have 8-digit BINs")
    return count


def _pin_block_bytes(count: int) -> int:
    if count not in PIN_BLOCK_BYTES:
        raise ValueError("must be 8 or 16; ask the acquirer")
    return count


def _version(number: int) -> int:
    if number != 1:
        raise ValueError("this posd reads version 1 only; write version: 1, or use a newer posd")
    return number


def _with_success(codes: tuple[str, ...]) -> tuple[str, ...]:
    if SUCCESS_CODE not in codes:
        raise ValueError('must contain "00"; without it no reversal would ever be acknowledged')
    return codes


Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
AddressText = Annotated[AnyAddress, PlainValidator(parse_address)]
AddressTexts = Annotated[
    tuple[AddressText, ...], BeforeValidator(_listed), AfterValidator(_some), AfterValidator(_own_devices)
]
HostAddressText = Annotated[HostAddress, PlainValidator(parse_host)]
PathText = Annotated[Path, PlainValidator(_path)]
SocketPath = Annotated[PathText, AfterValidator(_socket)]
SocketPathOrNone = Annotated[Path | None, PlainValidator(_optional_socket)]
PathOrNone = Annotated[Path | None, PlainValidator(_optional_path)]
TcpOrNone = Annotated[Address | None, PlainValidator(_optional_tcp)]
Amount = Annotated[int, PlainValidator(_amount)]
"""Minor units; written as decimal text."""
TimeOfDay = Annotated[time, PlainValidator(_time_of_day)]
TimeOfDayOrNone = Annotated[time | None, PlainValidator(_optional_time)]
ZoneName = Annotated[str, AfterValidator(_zone)]
TimesOfDay = Annotated[
    tuple[Annotated[time, PlainValidator(_time_of_day)], ...],
    BeforeValidator(_listed),
    AfterValidator(_some),
    AfterValidator(_distinct),
]
FrameBytes = Annotated[int, Field(ge=FRAME_BYTES_MIN, le=FRAME_BYTES_MAX)]
Tpdu = Annotated[str, AfterValidator(_matching("[0-9]{10}", 'must be 10 digits; write it as "6000030000"'))]
Header = Annotated[str, AfterValidator(_matching("([0-9]{4}|[0-9]{12})?", "must be 12, 4 or no digits; quote it"))]
ResponseCode = Annotated[str, AfterValidator(_matching("[0-9A-Z]{2}", 'must be 2 characters; write it as "25"'))]
ServerName = Annotated[str, AfterValidator(_matching("[A-Za-z0-9._:-]{0,253}", "must be a host's name or address"))]
HeaderText = Annotated[str, AfterValidator(_matching("[!-~]([ -~]{0,126}[!-~])?", "must be printable ASCII text"))]
Operator = Annotated[str, AfterValidator(_matching("[ -~]{3}", 'must be 3 characters; write it as "01 "'))]
SecurityDigit = Annotated[str, AfterValidator(_matching("[0-9]", 'must be one digit; write it as "6"'))]
Tid = Annotated[str, AfterValidator(_matching("[!-~]{8}", "must be 8 characters without blanks (field 41)"))]
Mid = Annotated[str, AfterValidator(_matching("[!-~]{15}", "must be 15 characters without blanks (field 42)"))]


Pins = Annotated[
    tuple[Annotated[bytes, PlainValidator(_pin)], ...],
    BeforeValidator(_listed),
    Field(max_length=PINS_MAX),
    AfterValidator(_distinct),
]
"""Digests of public keys."""
TlsVersion = Literal["1.2", "1.3"]


RouteName = Annotated[
    str, AfterValidator(_matching("[A-Za-z0-9_-]{1,24}", 'must be 1 to 24 letters, digits, "-" or "_"; write "wired"'))
]
InterfaceName = Annotated[
    str, AfterValidator(_matching("[!-.0-9;-~]{1,15}", 'must be the name of a network interface; write it as "wwan0"'))
]
IpAddressText = Annotated[str, AfterValidator(_ip_address)]


ConnectionMode = Literal["persistent", "one_shot"]
MacAlgorithm = Literal["unionpay-ecb", "x9.9", "x9.19", "3des-cbc", "9606", "sm4-ecb", "sm4-cbc", "none"]


class Section(BaseModel):
    """A mapping of the file: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")
