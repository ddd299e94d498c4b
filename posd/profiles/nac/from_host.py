"""What a NAC host says to us: an answer read, and checked against its request (reference 2.3, 2.5, 2.7)."""

from collections.abc import Mapping

from posd.core.answers import (
    AnswerClass,
    AnswerFacts,
    ExchangeKind,
    GroupResult,
    HostAnswer,
    HostTotals,
    MacCheck,
)
from posd.errors import KeyOutOfReach, MalformedMessage
from posd.iso8583.message import Message
from posd.profiles.codes import Code
from posd.profiles.contract import Arrived
from posd.profiles.nac.data import CERTIFICATES, CLOSE, ECHO, MAC_COVERED, TRANSFER
from posd.profiles.nac.parameters import block_of, is_load
from posd.profiles.packing import mac_fits
from posd.profiles.reading import from_issuer
from posd.security.keys import Tmk
from posd.security.mac import Mac
from posd.values import Rrn, Stan

ECHOED = (3, 4, 11, 24, 41, 42)
"""What an answer may repeat of its request; 11 and 41 it must."""

MUST_ECHO = (11, 41)

ANSWERS: Mapping[str, ExchangeKind] = {
    "0110": ExchangeKind.TRANSACTION,
    "0210": ExchangeKind.TRANSACTION,
    "0230": ExchangeKind.TRANSACTION,
    "0410": ExchangeKind.REVERSAL,
    "0430": ExchangeKind.REVERSAL,
}


def answer_key(message: Message) -> tuple[ExchangeKind, Stan | None] | None:
    """MTI class and STAN; 0510, 0330 and 0810 tell by field 3 what they answer (D8)."""
    trace, code = message.get(11), message.get(3)
    stan = Stan(int(trace)) if trace is not None else None
    match message.mti:
        case "0510":
            return (ExchangeKind.TRAILER if code == CLOSE else ExchangeKind.TOTALS), stan
        case "0330":
            return (ExchangeKind.TRANSACTION if code == CERTIFICATES else ExchangeKind.UPLOAD), stan
        case "0810":
            if is_load(code or ""):
                return ExchangeKind.MANAGEMENT, stan
            return (ExchangeKind.ECHO, None) if code == ECHO else (ExchangeKind.SIGN_IN, stan)
        case mti:
            kind = ANSWERS.get(mti)
            return (kind, stan) if kind is not None else None


def read_answer(
    arrived: Arrived,
    tmk: Tmk,
    mac: Mac | None,
    codes: Mapping[str, Code],
    echoed: Mapping[int, str] | None,
) -> HostAnswer:
    """`tmk` and `mac`: those of field 64; no `mac`: this host has none. Raises MalformedMessage for no answer."""
    message = arrived.message
    found = answer_key(message)
    if found is None:
        raise MalformedMessage(f"MTI {message.mti} is no answer", field="MTI")
    kind, stan = found
    code = message.get(39) or ""
    date, time, amount = message.get(13), message.get(12), message.get(4)
    return HostAnswer(
        kind=kind,
        stan=stan,
        answer_class=_class_of(kind, code, codes),
        facts=_facts(message, code),
        mac=_mac(arrived, tmk, mac),
        mismatch=_mismatch(message, echoed),
        amount_minor=int(amount) if amount else None,
        host_clock=f"{date}{time}" if date and time else None,
        host_totals=_result(code) if kind is ExchangeKind.TOTALS else None,
        icc=message.get(55) or "",
        block=block_of(message) if kind is ExchangeKind.MANAGEMENT else "",
    )


def _class_of(kind: ExchangeKind, code: str, codes: Mapping[str, Code]) -> AnswerClass:
    """95 to the totals is an answer: upload. Anywhere else it is what the table says."""
    if kind is ExchangeKind.TOTALS and code == TRANSFER:
        return AnswerClass.APPROVE
    row = codes.get(code)
    return AnswerClass.UNCONFIRMED if row is None else row.answer_class  # D9


def _result(code: str) -> HostTotals | None:
    """The host tells no totals of its own, only whether ours are right (reference 2.5)."""
    if code not in ("00", TRANSFER):
        return None
    said = GroupResult.BALANCED if code == "00" else GroupResult.UNBALANCED
    return HostTotals(None, said, GroupResult.BALANCED)


def _facts(message: Message, code: str) -> AnswerFacts:
    rrn = message.get(37)
    return AnswerFacts(
        code=code,
        rrn=Rrn(rrn) if rrn is not None else None,
        approval_code=message.get(38),
        host_date=message.get(13),
        host_time=message.get(12),
        settlement_date=message.get(15),
        icc=from_issuer(message.get(55))[0],  # no message of this dialect tells what became of scripts
    )


def _mac(arrived: Arrived, tmk: Tmk, mac: Mac | None) -> MacCheck:
    if mac is None or arrived.message.mti not in MAC_COVERED:
        return MacCheck.EXEMPT
    try:
        good = mac_fits(arrived, tmk.as_mac_key(), mac)
    except KeyOutOfReach:
        return MacCheck.BAD
    if good is None:
        return MacCheck.ABSENT
    return MacCheck.GOOD if good else MacCheck.BAD


def _mismatch(message: Message, echoed: Mapping[int, str] | None) -> str:
    """What differs from the request; hosts leave out much of it, but for trace and terminal."""
    if message.get(39) is None:
        return "field 39 is missing"
    for field, sent in (echoed or {}).items():
        got = message.get(field)
        if got is None and field not in MUST_ECHO:
            continue
        if got != sent and not (field == 3 and _same_process(message.mti, got, sent)):
            return f"field {field} is not that of the request"
    return ""


def _same_process(mti: str, got: str | None, sent: str) -> bool:
    """Of an upload, and of a parameter load, the last digit says only whether others follow."""
    carries_more = mti == "0330" or is_load(sent)
    return carries_more and got is not None and got[:5] == sent[:5]
