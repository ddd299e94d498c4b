"""The settings of posd: their names, types, defaults and limits, as frozen models.

Durations are in seconds and end in `_s`, sizes in bytes and say so. What one value alone can get wrong is
said here, in the form `what; hint`; what several say together is in config.py. No text here may echo a
value.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)

from posd.addresses import Address as Address
from posd.addresses import AnyAddress, HostAddress, SerialAddress, parse_address, parse_host, parse_tcp
from posd.dialects import ON_STUCK_DEFAULT, UNIONPAY, NacSettings, with_defaults
from posd.yamlmarks import did_you_mean

FOLDER = "folder"
"""The key of the validation context under which relative paths find their folder."""

CREDENTIALS = "credentials"
"""The key of the validation context for the service manager's folder: a Path, or None outside of a service."""

CREDENTIAL = "credential:"

SECONDS_MAX = 604_800.0
FRAME_BYTES_MIN = 128
FRAME_BYTES_MAX = 65_535
SOCKET_PATH_BYTES_MAX = 107
CONNECTIONS_MAX = 4_096
TILL_CONNECTIONS_MAX = 256
CONFIRM_SECONDS_MAX = 3_600.0
"""An approval that waits longer for its till would hold the settlement up."""
ITEMS_MAX = 1_024
HEADER_BYTES = (0, 2, 6)
PIN_BLOCK_BYTES = (8, 16)
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
    """A line has one peer and one setting, whatever its parameters."""
    _distinct(tuple(each.device if isinstance(each, SerialAddress) else each for each in values))
    return values


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
        return _credential(text.removeprefix(CREDENTIAL), context.get(CREDENTIALS), folder)
    return folder / text


def _credential(name: str, given: object, folder: Path) -> Path:
    """Where the service manager put the credential (systemd.exec(5), LoadCredential=).

    Outside of the service the file that the unit makes it of: LoadCredential=keys:FOLDER/keys gives the file
    keys/machine.key the name keys_machine.key.
    """
    if re.fullmatch(r"[A-Za-z0-9@:_-][A-Za-z0-9@:._-]{0,254}", name, re.ASCII) is None:
        raise ValueError("not the name of a credential; write credential:keys_machine.key")
    if isinstance(given, Path):
        return given / name
    beside, _, file = name.partition("_")
    return folder / beside / file if file else folder / name


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


class LogSettings(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ReconnectSettings(Section):
    first_s: Seconds = 1.0
    max_s: Seconds = 60.0


class TlsSettings(Section):
    """What proves the host, and what proves us to it. PEM files."""

    ca_file: PathOrNone = None
    certificate_file: PathOrNone = None
    key_file: PathOrNone = None
    server_name: ServerName = ""


NO_TLS = TlsSettings()


class HttpSettings(Section):
    """What stands above each message (reference 1.15)."""

    user_agent: HeaderText = "Donjin Http 0.1"
    content_type: HeaderText = "x-ISO-TPDU/x-auth"


class BindSettings(Section):
    """Where a route leaves this machine: by an interface or from an address of its own."""

    interface: InterfaceName | None = None
    address: IpAddressText | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.interface is None) == (self.address is None):
            raise ValueError('give one of interface and address; "interface: wwan0", or "address: 192.0.2.7"')
        return self


class RouteSettings(Section):
    """One way to the acquirer. What is left out is as in `host`."""

    name: RouteName
    address: HostAddressText
    tls: TlsSettings | None = None
    connect_timeout_s: Seconds | None = None
    mode: ConnectionMode | None = None
    bind: BindSettings | None = None
    reconnect: ReconnectSettings | None = None


class FailoverSettings(Section):
    """When a route is left, and when it is returned to (daemon/links/route_choice.py)."""

    connect_failures: Annotated[int, Field(ge=1, le=FAILURES_MAX)] = 2
    silent_limits: Annotated[int, Field(ge=1, le=FAILURES_MAX)] = 2
    good_for_s: Seconds = 60.0
    pause_s: SecondsOrOff = 5.0


@dataclass(frozen=True, slots=True)
class Route:
    """One way to the acquirer, with everything that it does not say itself filled in. `name` is empty for the only
    one, `host.address`."""

    name: str
    address: HostAddress
    connect_timeout_s: float
    reconnect: ReconnectSettings
    mode: ConnectionMode
    bind: BindSettings | None = None
    tls: TlsSettings = NO_TLS


class HostSettings(Section):
    """The acquirer and its dialect's knobs (reference, "Dialect knobs")."""

    profile: Literal["unionpay", "nac"] = "unionpay"
    profile_file: PathOrNone = None
    nac: NacSettings = NacSettings()
    address: HostAddressText | None = None
    tls: TlsSettings = TlsSettings()
    http: HttpSettings = HttpSettings()
    routes: Annotated[tuple[RouteSettings, ...], Field(max_length=ROUTES_MAX)] = ()
    failover: FailoverSettings = FailoverSettings()
    mode: ConnectionMode = "persistent"
    connections_max: Annotated[int, Field(ge=1, le=CONNECTIONS_MAX)] = 64
    connect_timeout_s: Seconds = 10.0
    reply_timeout_s: Seconds = 30.0
    reconnect: ReconnectSettings = ReconnectSettings()
    echo_interval_s: SecondsOrOff = 0.0
    idle_limit_s: SecondsOrOff = 0.0
    tpdu: Tpdu = "6000030000"
    header: Header = "603100310100"
    header_bytes: Annotated[int, AfterValidator(_header_bytes)] = 6
    lri: Literal["accept", "refuse"] = "accept"
    sign_in: Literal["001", "003", "004", "006"] = "004"
    mak: Literal["single", "double"] = "single"
    mac_algorithm: MacAlgorithm = "unionpay-ecb"
    mac_output: Literal["usual", "hex", "raw"] = "usual"
    sm4_key_block: Literal["with_tdk", "without_tdk"] = "with_tdk"
    sm4_security_digit: SecurityDigit = "6"
    sm4_pin_block_bytes: Annotated[int, AfterValidator(_pin_block_bytes)] = 8
    track_encryption: Literal["no", "yes"] = "no"
    unmaced_decline: Literal["accept", "reverse"] = "accept"
    partial_approval: Literal["reverse", "accept"] = "reverse"
    refund_repeat: Literal["never", "once"] = "never"
    parameters: Literal["show", "apply"] = "show"
    sign_off_after_close: Literal["no", "yes"] = "no"
    reversal_success_codes: Annotated[
        tuple[ResponseCode, ...], AfterValidator(_distinct), AfterValidator(_with_success)
    ] = ("00", "12", "25")
    operator: Operator = "01 "
    frame_bytes_max: FrameBytes = 4_096

    @model_validator(mode="before")
    @classmethod
    def _as_in_its_dialect(cls, data: object) -> object:
        return with_defaults(data)

    def every_route(self) -> tuple[Route, ...]:
        """The ways to the acquirer, the best first: `routes`, or the one that `address` is."""
        if self.address is not None:
            return (Route("", self.address, self.connect_timeout_s, self.reconnect, self.mode, tls=self.tls),)
        return tuple(
            Route(
                route.name,
                route.address,
                route.connect_timeout_s or self.connect_timeout_s,
                route.reconnect or self.reconnect,
                route.mode or self.mode,
                route.bind,
                route.tls or self.tls,
            )
            for route in self.routes
        )

    @property
    def longest_connect_s(self) -> float:
        """The longest that an attempt to connect may take, by any route."""
        return max((route.connect_timeout_s for route in self.every_route()), default=self.connect_timeout_s)


class DoorSettings(Section):
    """Where terminals connect; their TPDU and header are as long as the host's."""

    listen: AddressTexts = (Address("127.0.0.1", 7000),)
    connections_max: Annotated[int, Field(ge=1, le=CONNECTIONS_MAX)] = 64
    terminal_timeout_s: Seconds = 75.0
    frame_bytes_max: FrameBytes = 4_096


class TillSettings(Section):
    """The JSON door: off, unless it has a socket or a loopback address."""

    socket: SocketPathOrNone = None
    listen: TcpOrNone = None
    token_file: PathOrNone = None
    card_data: Literal["refused", "accepted"] = "refused"
    confirm_within_s: Annotated[float, Field(ge=0, le=CONFIRM_SECONDS_MAX, allow_inf_nan=False)] = 0.0
    connections_max: Annotated[int, Field(ge=1, le=TILL_CONNECTIONS_MAX)] = 16

    @property
    def is_on(self) -> bool:
        """Whether there is such a door."""
        return self.socket is not None or self.listen is not None


class ReversalRetry(Section):
    first_s: Seconds = 5.0
    max_s: Seconds = 300.0


class ReversalSettings(Section):
    attempts: Annotated[int, Field(ge=1, le=99)] = 4
    retry: ReversalRetry = ReversalRetry()
    stuck_retry_s: Seconds = 1_800.0
    on_stuck: Literal["continue", "block"] = "continue"


class AdviceRetry(Section):
    first_s: Seconds = 5.0
    max_s: Seconds = 300.0


class AdviceSettings(Section):
    stored_max: Annotated[int, Field(ge=1, le=99)] = 10
    attempts: Annotated[int, Field(ge=1, le=99)] = 4
    retry: AdviceRetry = AdviceRetry()


class SettlementRetry(Section):
    first_s: Seconds = 60.0
    max_s: Seconds = 900.0


class SettlementSettings(Section):
    at: TimesOfDay = (time(23, 0),)
    zone: ZoneName = "Asia/Shanghai"
    hold_max_s: SecondsOrOff = 900.0
    retry: SettlementRetry = SettlementRetry()
    clock_skew_max_s: Seconds = 300.0
    minimum: Amount = 0
    maximum: Amount = 0
    deferral_max_s: Seconds = 259_200.0
    empty_batch: Literal["skip", "send"] = "skip"
    host_cutover_at: TimeOfDayOrNone = None
    day_ends_at: TimeOfDay = time(0, 0)


class JournalSettings(Section):
    free_bytes_min: Annotated[int, Field(ge=0)] = 67_108_864
    ballast_bytes: Annotated[int, Field(ge=0)] = 8_388_608
    unreadable_per_minute_max: Annotated[int, Field(ge=1, le=10_000)] = 10


class TerminalSettlement(Section):
    """What one terminal has otherwise than `settlement` says."""

    at: TimesOfDay | None = None
    zone: ZoneName | None = None


class TerminalSettings(Section):
    tid: Tid
    mid: Mid
    tmk_file: PathOrNone = None
    mac: Literal["none", "required"] = "none"
    unsigned: Literal["refuse", "accept"] = "refuse"
    pin: Literal["passthrough", "refused"] = "passthrough"
    settlement: TerminalSettlement = TerminalSettlement()


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a terminal's settlement is due: local times of day in the zone `zone` (IANA name)."""

    at: tuple[time, ...]
    zone: str


class Settings(Section):
    """Everything that config/posd.example.yaml explains."""

    version: Annotated[int, AfterValidator(_version)]
    state_dir: PathText = Path("/var/lib/posd")
    control_socket: SocketPath = Path("/run/posd/control.sock")
    machine_key_file: PathText = Path("/etc/posd/machine.key")
    log: LogSettings = LogSettings()
    drain_timeout_s: Seconds = 10.0
    host: HostSettings
    door: DoorSettings = DoorSettings()
    till: TillSettings = TillSettings()
    reversal: ReversalSettings = ReversalSettings()
    advice: AdviceSettings = AdviceSettings()
    settlement: SettlementSettings = SettlementSettings()
    journal: JournalSettings = JournalSettings()
    terminals: Annotated[tuple[TerminalSettings, ...], AfterValidator(_some)]

    @model_validator(mode="before")
    @classmethod
    def _stuck_as_in_its_dialect(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("host"), dict):
            return data
        reversal = data.get("reversal", {})
        if not isinstance(reversal, dict):
            return data
        default = ON_STUCK_DEFAULT.get(str(data["host"].get("profile", UNIONPAY)), "continue")
        return {**data, "reversal": {"on_stuck": default, **reversal}}

    def schedule_of(self, terminal: TerminalSettings) -> Schedule:
        """The terminal's own settlement times and zone, or the common ones where it has none."""
        own = terminal.settlement
        return Schedule(own.at or self.settlement.at, own.zone or self.settlement.zone)
