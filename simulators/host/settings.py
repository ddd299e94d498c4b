"""What the simulated acquirer is told: its terminals, its cards, and the choices real hosts differ in.

Values only, frozen; amounts are written as decimals ("100.00") and held in minor units. Never a clock or a path.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulators.chip import read_55, script_problem
from simulators.fields import Unreadable
from simulators.host.faults import Rule
from simulators.host.parameters import ParameterSettings
from simulators.macs import Keying
from simulators.wire_form import WireForm

UNIONPAY_FAULTS = frozenset({"forget_keys", "header_digit", "drop_script", "bad_arpc"})
NAC_BEHAVIOUR = frozenset({"reverse_unknown", "utc_offset_minutes", "keys", "completion_percent_max", "repeat_advice"})
NAC_CARD = frozenset({"pan", "balance", "scheme", "expiry", "issuer_auth", "scripts"})

Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]


def minor_units(value: object) -> object:
    """'12.30' or '12' -> 1230; an int is minor units already. Anything else is left to fail."""
    if not isinstance(value, str):
        return value
    whole, _, cents = value.partition(".")
    if not (whole.isascii() and whole.isdecimal() and len(cents) <= 2 and (cents == "" or cents.isdecimal())):
        raise ValueError("an amount like 1234.56 is expected")
    return int(whole) * 100 + int(cents.ljust(2, "0"))


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Amount = Annotated[int, BeforeValidator(minor_units), Field(ge=0, le=999_999_999_999)]


SCRIPT_DIGITS_MAX = 2 * 240
RECORD_DIGITS_MAX = 2 * 511
RECORDS_MAX = 22
"""What fields 55 and 62 have room for: one record, and the names of all of them (1.2)."""


class Model(BaseModel):
    """Frozen; an unknown setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TerminalSettings(Model):
    """One terminal of the acquirer. `tmk`: 16 or 32 hex digits, none with NAC; `batch`: the number it starts with."""

    tid: str = Field(min_length=8, max_length=8)
    mid: str = Field(min_length=15, max_length=15)
    tmk: str = Field(default="", pattern=r"^([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})?$", repr=False)
    batch: int = Field(default=1, ge=1, le=999_999)


def _script(text: str) -> str:
    """An issuer script in hex: one template 71 or 72."""
    if (problem := script_problem(text)) is not None:
        raise ValueError(f"an issuer script: {problem}")
    return text.upper()


Script = Annotated[str, AfterValidator(_script)]


class Remarks(Model):
    """Field 63 of answers after the scheme (1.5): issuer, centre, acquirer (20 bytes of GBK each), terminal (60)."""

    issuer: str = ""
    centre: str = ""
    acquirer: str = ""
    terminal: str = ""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name, room in (("issuer", 20), ("centre", 20), ("acquirer", 20), ("terminal", 60)):
            try:
                size = len(getattr(self, name).encode("gbk"))
            except UnicodeEncodeError:
                raise ValueError(f"{name}: a character that GBK does not have") from None
            if size > room:
                raise ValueError(f"{name}: {size} bytes in GBK, at most {room}")
        return self

    @property
    def wire(self) -> str:
        """As field 63 carries them: one character a byte, cut after the last that says something."""
        parts = [text.encode("gbk").ljust(20) for text in (self.issuer, self.centre, self.acquirer)]
        return (b"".join(parts) + self.terminal.encode("gbk")).rstrip().decode("latin-1")


class CardSettings(Model):
    """One card. `scheme` CUP is domestic, anything else foreign; `pin` set means that it is checked.

    `purse` is its electronic cash. `issuer_auth`: chip requests are answered with tag 91; `scripts`: approved ones
    also with these templates. `partial`: short of balance, approve what is left with 10. `approve_code`: how this
    issuer says yes.
    """

    pan: str = Field(pattern=r"^[0-9]{13,19}$", repr=False)
    balance: Amount = 1_000_000
    scheme: str = Field(default="CUP", min_length=3, max_length=3)
    expiry: str | None = Field(default=None, pattern=r"^[0-9]{2}(0[1-9]|1[0-2])$", description="YYMM")
    pin: str | None = Field(default=None, pattern=r"^[0-9]{4,12}$", repr=False)
    purse: Amount = 0
    issuer_auth: bool = False
    scripts: tuple[Script, ...] = Field(default=(), max_length=4)
    partial: Literal["never", "asked", "always"] = "never"
    approve_code: Literal["00", "11", "A2", "A4", "A5", "A6"] = "00"
    show_balance: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(map(len, self.scripts)) > SCRIPT_DIGITS_MAX:
            raise ValueError(f"scripts: {SCRIPT_DIGITS_MAX // 2} bytes at most, for field 55 to hold them")
        return self


class Behaviour(Model):
    """Where real hosts differ (reference, "dialect knobs" and "open questions")."""

    reverse_unknown: Literal["approve_later", "refuse_later"] = "approve_later"
    close_at: Literal["end", "totals"] = "end"
    repeat_after_close: Literal["77", "94", "zero", "same"] = "77"
    unbalance: Literal["none", "domestic", "foreign", "both"] = "none"
    mac_declines: bool = True
    header_bytes: int = Field(default=6, ge=0, le=64)
    utc_offset_minutes: int = Field(default=480, ge=-720, le=840)
    institution: Digits = Field(default="48020000", max_length=11)
    keys: Keying = Keying()
    wire: WireForm = WireForm()
    completion_percent_max: int = Field(default=115, ge=1, le=1_000, description="of the hold; above it: 61")
    tip_percent_max: int = Field(default=20, ge=0, le=1_000, description="of the sale; above it: 61")
    repeat_advice: Literal["94", "same"] = "94"
    late_advice: Literal["book", "77"] = "book"
    remarks: Remarks = Remarks()


def _record(text: str) -> str:
    """What 370 or 380 downloads, in hex: BER-TLV with tag 9F06."""
    try:
        named = "9F06" in read_55(text)
    except Unreadable:
        named = False
    if not named:
        raise ValueError("a record in hex, BER-TLV with tag 9F06, expected")
    return text.upper()


Record = Annotated[str, Field(max_length=RECORD_DIGITS_MAX), AfterValidator(_record)]


class NacBehaviour(Model):
    """Where real NAC hosts differ (reference part 2). Defaults are what most sources say."""

    nii: str = Field(default="001", pattern=r"^[0-9]{3}$", description="field 24")
    batch_numbers: Literal["check", "follow"] = Field(default="check", description="follow: the terminal's counts")
    voids: Literal["excluded", "credited"] = Field(default="excluded", description="in totals and upload (2.4)")
    disagree: Literal["never", "totals", "always"] = Field(default="never", description="95 on demand; always: 77 too")
    closing: Literal["matched", "uploaded"] = Field(default="matched", description="what makes a closing agree")
    out_of_balance: Literal["77", "95"] = Field(default="77", description="how a closing says so")
    repeat_after_close: Literal["same", "77", "80", "85", "95"] = "same"
    parameters: str = Field(default="", max_length=200, description="field 60 of a parameter load; empty: 12 to it")
    reversal_unknown: str = Field(default="00", pattern=r"^[0-9A-Z]{2}$")
    pad: Literal["0", "F", "right"] = Field(default="0", description="odd variable-length numbers (2.2)")
    mac_key: str = Field(default="", pattern=r"^([0-9A-Fa-f]{32})?$", repr=False, description="empty: no MAC at all")
    ascii_wire: bool = Field(default=False, description="digits and lengths as ASCII, for foreign dissectors")
    length: Literal["binary", "bcd", "inclusive"] = Field(default="binary", description="before each message (2.1)")

    @model_validator(mode="after")
    def _one_wire(self) -> Self:
        if self.ascii_wire and self.mac_key:
            raise ValueError("mac_key: the ASCII wire carries no MAC")
        return self


def without_meaning(behaviour: Behaviour, cards: tuple[CardSettings, ...], faults: tuple[Rule, ...]) -> str | None:
    """The first thing said that a NAC host does not have, by its name; None: all of it has a meaning there."""
    said = sorted(behaviour.model_fields_set - NAC_BEHAVIOUR)
    said += sorted({name for card in cards for name in card.model_fields_set} - NAC_CARD)
    said += [rule.do for rule in faults if rule.do in UNIONPAY_FAULTS]
    said += ["code60" for rule in faults if rule.code60 is not None]
    return said[0] if said else None


class HostSettings(Model):
    """The whole configuration file of `posd-host-sim`."""

    profile: Literal["unionpay", "nac"] = "unionpay"
    terminals: tuple[TerminalSettings, ...] = Field(min_length=1)
    cards: tuple[CardSettings, ...] = ()
    parameters: ParameterSettings = ParameterSettings()
    ca_keys: tuple[Record, ...] = Field(default=(), max_length=RECORDS_MAX)
    ic_parameters: tuple[Record, ...] = Field(default=(), max_length=RECORDS_MAX)
    behaviour: Behaviour = Behaviour()
    nac: NacBehaviour = NacBehaviour()
    faults: tuple[Rule, ...] = ()
    listen: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)] = ("127.0.0.1:0",)
    seed: int = 0

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for name, values in (("tid", [t.tid for t in self.terminals]), ("pan", [c.pan for c in self.cards])):
            if len(set(values)) != len(values):
                raise ValueError(f"two entries have the same {name}")
        return self

    @model_validator(mode="after")
    def _of_one_dialect(self) -> Self:
        """What the other dialect has and this one has not is a mistake, not something to ignore."""
        if self.profile == "unionpay":
            if self.nac.model_fields_set:
                raise ValueError("nac: is for profile: nac; write that too, or take these settings out")
            without = next((one.tid for one in self.terminals if not one.tmk), None)
            if without is not None:
                raise ValueError(f"terminal {without} needs tmk: 16 or 32 hex digits")
            return self
        wrong = without_meaning(self.behaviour, self.cards, self.faults)
        if wrong is not None:
            raise ValueError(f"{wrong} has no meaning with profile: nac")
        return self
