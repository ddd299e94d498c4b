"""A bank is a base plus a difference: the YAML file of `host.profile_file`, that an integrator writes without Python.

    base: nac
    name: "Example bank"
    knobs: {tpdu: "6000030000", nac: {nii: "003"}}
    codes: {"N7": {class: decline, meaning: "wrong CVV2"}}
    fields: {sale: {add: {61: "POSD"}, remove: [42]}}

`knobs` are settings of `host`; what posd.yaml says itself counts before them. Errors name file, line and column.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from posd.core.answers import AnswerClass
from posd.core.rules import KindRules, TxnKind
from posd.dialects import with_defaults
from posd.errors import CannotEncode
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.nac import VariablePad, nac_spec
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.difference import EVERY, MESSAGES, NEVER_GIVEN, NEVER_REMOVED, OTHER_MESSAGES
from posd.profiles.nac.data import kinds_of
from posd.profiles.unionpay.data import KINDS as UNIONPAY_KINDS
from posd.settings import SUCCESS_CODE, HostSettings, ResponseCode, Section
from posd.yamlmarks import ConfigProblems, Document, Place, Problem, did_you_mean, read_document

NAME_CHARACTERS_MAX = 60
OWN_SETTINGS = frozenset({"profile", "profile_file", "routes", "address"})
"""What the shop says itself."""

KINDS: Mapping[str, Mapping[TxnKind, KindRules]] = {"unionpay": UNIONPAY_KINDS, "nac": kinds_of("excluded")}
ABSENT: Mapping[str, frozenset[str]] = {"unionpay": frozenset(), "nac": frozenset({"sign_off", "chip_detail"})}
"""Messages of the core that a dialect has not."""


def _field(number: int) -> int:
    if not 2 <= number <= 64:
        raise ValueError("must be a field number, 2 to 64")
    return number


def _removable(number: int) -> int:
    if number in NEVER_REMOVED:
        raise ValueError("may not be removed; no answer could be told to belong to its request")
    return number


FieldNumber = Annotated[int, AfterValidator(_field)]


class CodeSettings(Section):
    """One response code: what it means for money (D9), and in words."""

    answer: Annotated[AnswerClass, Field(alias="class")]
    meaning: Annotated[str, Field(min_length=1, max_length=80)]
    meaning_zh: Annotated[str, Field(max_length=80)] = ""
    alarm: Literal["no", "yes"] = "no"


class FieldSettings(Section):
    """What one kind of message has more or less. `pass_on`: as the terminal's own request had it."""

    add: dict[FieldNumber, str] = Field(default_factory=dict)
    remove: tuple[Annotated[FieldNumber, AfterValidator(_removable)], ...] = ()
    pass_on: tuple[FieldNumber, ...] = ()


def _known_message(name: str) -> str:
    if name not in MESSAGES:
        raise ValueError(f"no kind of message has this name; {did_you_mean(name, MESSAGES)}")
    return name


def _not_success(code: str) -> str:
    if code == SUCCESS_CODE:
        raise ValueError('"00" is an approval everywhere; remove it')
    return code


class Bank(Section):
    """The whole file."""

    base: Literal["unionpay", "nac"]
    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    knobs: HostSettings = HostSettings()
    codes: dict[Annotated[ResponseCode, AfterValidator(_not_success)], CodeSettings] = Field(default_factory=dict)
    fields: dict[Annotated[str, BeforeValidator(_known_message)], FieldSettings] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _knobs_of_the_base(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(knobs := data.get("knobs", {}), dict):
            return {**data, "knobs": with_defaults({**knobs, "profile": data.get("base", "unionpay")})}
        return data


def load_bank(path: Path) -> tuple[Bank, Mapping[str, Any]]:
    """The file, and its knobs as they stand in it. Raises ConfigProblems naming file, line and column."""
    document = read_document(path)
    value = document.value
    raw = value.get("knobs", {}) if isinstance(value, dict) else {}
    own = sorted(OWN_SETTINGS & set(raw)) if isinstance(raw, dict) else []
    problems = [document.problem(("knobs", name), "is the shop's own", "write it in posd.yaml") for name in own]
    if problems:
        raise ConfigProblems(problems)
    bank = document.validate(Bank)
    problems = _of_no_use(bank, document) or _not_given_here(bank, document) or _unsayable(bank, document)
    if problems:
        raise ConfigProblems(problems)
    return bank, raw


def _of_no_use(bank: Bank, document: Document) -> list[Problem]:
    """What would be read and do nothing: messages that the dialect has not, and fields of a terminal's own message
    where that is not at hand any more."""
    kinds = KINDS[bank.base]
    names = {EVERY, *OTHER_MESSAGES, *(kind.value for kind in kinds)} - ABSENT[bank.base]
    at_hand = {EVERY, *(kind.value for kind, rules in kinds.items() if not rules.advice)}
    problems = []
    for message, change in bank.fields.items():
        if message not in names:
            what = f"base: {bank.base} has no such message"
            problems.append(document.problem(("fields", message), what, did_you_mean(message, names)))
        elif change.pass_on and message not in at_hand:
            what = "does nothing: when this is sent, the terminal's own message is not at hand"
            problems.append(
                document.problem(("fields", message, "pass_on"), what, "remove it; write add for a constant")
            )
    return problems


def _not_given_here(bank: Bank, document: Document) -> list[Problem]:
    """Fields that the bank would overwrite with something else than the transaction's or the terminal's own."""
    never, what = NEVER_GIVEN[bank.base], "may not be given here"
    hint = "posd says it itself, from the transaction or the terminal's settings; remove it"
    places: list[tuple[int, Place]] = []
    for message, change in bank.fields.items():
        places += [(number, ("fields", message, "add", str(number))) for number in change.add]
        places += [(number, ("fields", message, "pass_on", at)) for at, number in enumerate(change.pass_on)]
    return [document.problem(place, what, hint) for number, place in places if number in never]


def _unsayable(bank: Bank, document: Document) -> list[Problem]:
    """Added values that the dialect's field table does not take."""
    codec = UNIONPAY if bank.base == "unionpay" else Codec(nac_spec(pad=VariablePad(bank.knobs.nac.pad)))
    problems = []
    for message, change in bank.fields.items():
        for number, text in change.add.items():
            try:
                codec.encode(Message("0200", {number: text}))
            except CannotEncode as error:
                what = str(error).partition(": ")[2].partition(": ")[2] or "does not fit"
                problems.append(document.problem(("fields", message, "add", str(number)), what, "see the field table"))
    return problems
