"""What one bank has otherwise than its dialect: fields more or less in each kind of message, and codes of its own.

Applied after a message was built and before its MAC. It must never touch the fields by which an answer is told to
belong to its request, or those that posd takes from the transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from posd.core import effects as fx
from posd.core.rules import TxnKind
from posd.iso8583.message import Message
from posd.profiles.codes import Code
from posd.profiles.contract import Material

OTHER_MESSAGES = ("sign_in", "sign_off", "echo", "reversal", "totals", "upload", "chip_detail", "end")
EVERY = "every"
MESSAGES = frozenset((*OTHER_MESSAGES, EVERY, *(kind.value for kind in TxnKind)))
"""The names that a bank's file may give: a kind of transaction, another message, or every one."""

NEVER_REMOVED = frozenset({3, 4, 11, 41, 64})
NEVER_GIVEN_ANYWHERE = frozenset(
    {2, 3, 4, 11, 12, 13, 14, 22, 23, 35, 36, 37, 38, 39, 41, 42, 45, 48, 52, 54, 55, 60, 62, 63, 64}
)
"""What comes from the transaction or its card, or says who the terminal and its merchant are."""

NEVER_GIVEN: Mapping[str, frozenset[int]] = MappingProxyType(
    {"unionpay": NEVER_GIVEN_ANYWHERE | {25, 53, 61}, "nac": NEVER_GIVEN_ANYWHERE | {24}}
)
"""By dialect: what a bank's file may neither add nor pass on."""


@dataclass(frozen=True, slots=True)
class Change:
    """`add`: field to value. `pass_on`: fields of the terminal's own request, while it is at hand."""

    add: Mapping[int, str] = field(default_factory=dict)
    remove: tuple[int, ...] = ()
    pass_on: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """`name`: the bank's. `codes`: field 39, where it says something else than the dialect's table."""

    name: str = ""
    codes: Mapping[str, Code] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)

    def with_codes(self, table: Mapping[str, Code]) -> Mapping[str, Code]:
        """The dialect's table with the bank's own codes."""
        return MappingProxyType({**table, **self.codes}) if self.codes else table

    def applied(self, message: fx.HostMessage, built: Message, material: Material) -> Message:
        """`built` as the bank wants it."""
        if not self.changes:
            return built
        fields = dict(built.fields)
        for name in (EVERY, _name_of(message)):
            change = self.changes.get(name)
            if change is None:
                continue
            for number in change.remove:
                fields.pop(number, None)
            request = _request(message, material)
            fields |= {n: value for n in change.pass_on if request is not None and (value := request.get(n))}
            fields |= change.add
        return Message(built.mti, fields)


NO_DIFFERENCE = Difference()


def _request(message: fx.HostMessage, material: Material) -> Message | None:
    if isinstance(message, fx.SendTransaction):
        return material.requests.get(message.transaction.request_id)
    return None


def _name_of(message: fx.HostMessage) -> str:
    match message:
        case fx.SendTransaction(transaction=txn) | fx.SendAdvice(transaction=txn):
            return txn.kind.value
        case fx.SendReversal():
            return "reversal"
        case fx.SendSignIn():
            return "sign_in"
        case fx.SendSignOff():
            return "sign_off"
        case fx.SendEcho():
            return "echo"
        case fx.SendManagement():
            return "management"
        case fx.SendTotals():
            return "totals"
        case fx.SendUpload():
            return "upload"
        case fx.SendChipDetail():
            return "chip_detail"
        case fx.SendTrailer():
            return "end"
        case _:
            assert_never(message)
