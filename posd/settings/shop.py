"""Everything but the host: doors, tills, reversals, advices, settlement, journal, terminals; and the whole file."""

from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from posd.addresses import Address as Address
from posd.dialects import ON_STUCK_DEFAULT, UNIONPAY
from posd.settings.access import PROXIED, TILL_TOKENS_MAX, AccessSettings, ApprovalSettings, TillToken
from posd.settings.host import HostSettings
from posd.settings.keeping import BackupSettings
from posd.settings.types import (
    CONFIRM_SECONDS_MAX,
    CONNECTIONS_MAX,
    DAYS_MAX,
    KEY_WAIT_SECONDS_MAX,
    TILL_CONNECTIONS_MAX,
    TMK_INDEX_MAX,
    AddressTexts,
    Amount,
    FrameBytes,
    Mid,
    PathOrNone,
    PathText,
    Seconds,
    SecondsOrOff,
    Section,
    SocketPath,
    SocketPathOrNone,
    TcpOrNone,
    Tid,
    TimeOfDay,
    TimeOfDayOrNone,
    TimesOfDay,
    TlsVersion,
    ZoneName,
    _bin_digits,
    _some,
    _version,
)


class LogSettings(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class DoorTlsSettings(Section):
    """What proves posd to terminals at doors with tls://, and what proves them to posd. PEM files."""

    certificate_file: PathOrNone = None
    key_file: PathOrNone = None
    client_ca_file: PathOrNone = None
    client_name: Literal["tid", "any"] = "tid"
    minimum_version: TlsVersion = "1.2"


class CertificateSettings(Section):
    """When somebody is told that one ends."""

    alert_days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = 30


class DoorSettings(Section):
    """Where terminals connect; their TPDU and header are as long as the host's."""

    listen: AddressTexts = (Address("127.0.0.1", 7000),)
    connections_max: Annotated[int, Field(ge=1, le=CONNECTIONS_MAX)] = 64
    terminal_timeout_s: Seconds = 75.0
    frame_bytes_max: FrameBytes = 4_096
    tls: DoorTlsSettings = DoorTlsSettings()


TOKEN_OF_ALL = "till"
"""The name of the token in `till.token_file`."""


class TillSettings(Section):
    """The JSON door: off, unless it has a socket or an address."""

    socket: SocketPathOrNone = None
    listen: TcpOrNone = None
    open_to_network: Literal["no", "yes, behind our own TLS proxy"] = "no"
    token_file: PathOrNone = None
    tokens: Annotated[tuple[TillToken, ...], Field(max_length=TILL_TOKENS_MAX)] = ()
    card_data: Literal["refused", "accepted"] = "refused"
    confirm_within_s: Annotated[float, Field(ge=0, le=CONFIRM_SECONDS_MAX, allow_inf_nan=False)] = 0.0
    connections_max: Annotated[int, Field(ge=1, le=TILL_CONNECTIONS_MAX)] = 16

    @property
    def is_on(self) -> bool:
        """Whether there is such a door."""
        return self.socket is not None or self.listen is not None

    @property
    def on_network(self) -> bool:
        """Whether other machines can reach it; only in the words of the configuration."""
        return self.listen is not None and not self.listen.is_loopback and self.open_to_network == PROXIED

    @property
    def every_token(self) -> tuple[tuple[str, Path, str], ...]:
        """Name, file and role of each token; the one of `token_file` is called "till" and may operate."""
        own = ((TOKEN_OF_ALL, self.token_file, "operate"),) if self.token_file is not None else ()
        return (*own, *((token.name, token.file, token.role) for token in self.tokens))


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
    tip_percent_max: Annotated[int, Field(ge=0, le=100)] = 20


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


class CardSettings(Section):
    """What is kept of card numbers, and what is shown of them."""

    numbers_kept_days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = 180
    bin_digits: Annotated[int, AfterValidator(_bin_digits)] = 6


class KeySettings(Section):
    """Where TMKs live (posd/security/keystore.py)."""

    home: Literal["sealed", "pkcs11"] = "sealed"
    module: PathOrNone = None
    token: str = ""
    pin_file: PathOrNone = None
    wait_max_s: Annotated[float, Field(gt=0, le=KEY_WAIT_SECONDS_MAX, allow_inf_nan=False)] = 0.5


class TerminalSettlement(Section):
    """What one terminal has otherwise than `settlement` says."""

    at: TimesOfDay | None = None
    zone: ZoneName | None = None


class TerminalSettings(Section):
    tid: Tid
    mid: Mid
    tmk_index: Annotated[int, Field(ge=0, le=TMK_INDEX_MAX)] = 0
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
    access: AccessSettings = AccessSettings()
    approval: ApprovalSettings = ApprovalSettings()
    door: DoorSettings = DoorSettings()
    till: TillSettings = TillSettings()
    reversal: ReversalSettings = ReversalSettings()
    advice: AdviceSettings = AdviceSettings()
    settlement: SettlementSettings = SettlementSettings()
    journal: JournalSettings = JournalSettings()
    backup: BackupSettings = BackupSettings()
    cards: CardSettings = CardSettings()
    certificates: CertificateSettings = CertificateSettings()
    keys: KeySettings = KeySettings()
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
