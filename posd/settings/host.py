"""The acquirer, the ways to it, and its dialect's knobs."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from posd.addresses import Address as Address
from posd.addresses import HostAddress, HttpAddress, TlsAddress
from posd.dialects import NacSettings, with_defaults
from posd.settings.types import (
    CONNECTIONS_MAX,
    FAILURES_MAX,
    ROUTES_MAX,
    ConnectionMode,
    FrameBytes,
    Header,
    HeaderText,
    HostAddressText,
    InterfaceName,
    IpAddressText,
    MacAlgorithm,
    Operator,
    PathOrNone,
    Pins,
    ResponseCode,
    RouteName,
    Seconds,
    SecondsOrOff,
    Section,
    SecurityDigit,
    ServerName,
    TlsVersion,
    Tpdu,
    _distinct,
    _header_bytes,
    _pin_block_bytes,
    _with_success,
)


class ReconnectSettings(Section):
    first_s: Seconds = 1.0
    max_s: Seconds = 60.0


class TlsSettings(Section):
    """What proves the host, and what proves us to it. PEM files."""

    ca_file: PathOrNone = None
    certificate_file: PathOrNone = None
    key_file: PathOrNone = None
    server_name: ServerName = ""
    pin: Pins = ()
    minimum_version: TlsVersion = "1.2"
    verify: Literal["yes", "no_anyone_may_pretend_to_be_the_host"] = "yes"

    @property
    def verified(self) -> bool:
        """Whether anything is known of who the host is."""
        return self.verify == "yes"


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


UPLOAD_RECORDS_MAX = 8
"""Magnetic records that field 48 of a 0320 has room for (reference 1.7)."""


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

    @property
    def encrypted(self) -> bool:
        """Whether it leaves over TLS."""
        return isinstance(self.address, TlsAddress) or (
            isinstance(self.address, HttpAddress) and self.address.encrypted
        )

    @property
    def verified(self) -> bool:
        """False where the settings have TLS speak to anyone."""
        return self.tls.verified or not self.encrypted


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
    field_22: Literal["left", "right"] = "left"
    field_23: Literal["left", "right"] = "right"
    field_61: Literal["bcd", "ascii"] = "bcd"
    pad: Literal["0", "F", "right"] = "0"
    totals_groups: Annotated[int, Field(ge=1, le=2)] = 2
    upload_records_max: Annotated[int, Field(ge=1, le=UPLOAD_RECORDS_MAX)] = UPLOAD_RECORDS_MAX
    end_without_items: Literal["send", "skip"] = "send"
    unmaced_decline: Literal["accept", "reverse"] = "accept"
    partial_approval: Literal["reverse", "accept"] = "reverse"
    refund_repeat: Literal["never", "once"] = "never"
    completion_percent_max: Annotated[int, Field(ge=100, le=1_000)] = 115
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
