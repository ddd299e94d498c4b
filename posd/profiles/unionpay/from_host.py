"""What the host says to us: an answer read, checked against its request and for its MAC (reference 1.6, 1.8, 1.11)."""

from collections.abc import Mapping

from posd.core.answers import (
    AnswerClass,
    AnswerFacts,
    ExchangeKind,
    GroupCount,
    GroupResult,
    HostAnswer,
    HostTotals,
    MacCheck,
    Totals,
)
from posd.core.state import Session
from posd.errors import KeyTrouble, MalformedMessage
from posd.iso8583.masking import mask_long_numbers
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field48Totals, Field60, GroupTotals
from posd.profiles.codes import Code
from posd.profiles.contract import Arrived, Terminal
from posd.profiles.reading import from_issuer
from posd.profiles.unionpay import parameters
from posd.profiles.unionpay.data import (
    ANSWER_KINDS,
    ATTENTION,
    BATCH_ADOPTED_MAX,
    ECHO,
    END_BALANCED,
    END_UNBALANCED,
    MAC_COVERED,
    MANAGED,
    PARAMETERS,
    SIGN_IN_AGAIN,
    WANTED_FUNCTIONS,
)
from posd.profiles.unionpay.seal import Keying, mac_is_good, mak_of
from posd.values import BatchNumber, Rrn, Stan

OK = "00"
SCRIPT_ANSWER = "0630"

RESULTS = {1: GroupResult.BALANCED, 2: GroupResult.UNBALANCED}


def answer_key(message: Message) -> tuple[ExchangeKind, Stan | None] | None:
    """MTI class and STAN; the echo has none, and 0330 and 0830 tell by field 60.3 (D8)."""
    trace = message.get(11)
    stan = Stan(int(trace)) if trace is not None else None
    code = message.get(60) or ""
    match message.mti:
        case "0330":
            trailer = code[8:11] in (END_BALANCED, END_UNBALANCED)
            return (ExchangeKind.TRAILER if trailer else ExchangeKind.UPLOAD), stan
        case "0810" | "0830" if code[8:11] in MANAGED:
            return ExchangeKind.MANAGEMENT, stan
        case "0830":
            return (ExchangeKind.ECHO, None) if code[8:11] == ECHO else (ExchangeKind.SIGN_OFF, stan)
        case _:
            kind = ANSWER_KINDS.get(message.mti)
            return (kind, stan) if kind is not None else None


def read_answer(
    arrived: Arrived,
    terminal: Terminal,
    session: Session,
    echoed: Mapping[int, str] | None,
    keying: Keying,
    codes: Mapping[str, Code],
    foreign_apart: bool,
) -> HostAnswer:
    """Raises MalformedMessage when this is no answer of the dialect."""
    message = arrived.message
    key = answer_key(message)
    if key is None:
        raise MalformedMessage(f"MTI {message.mti} is no answer", field="MTI")
    kind, stan = key
    code = message.get(39) or ""
    keys, trouble = _keys(message, terminal, keying) if kind is ExchangeKind.SIGN_IN else (None, "")
    answer_class = _class_of(kind, code, codes)
    told, trouble_of_block = _parameters(message) if kind is ExchangeKind.MANAGEMENT and code == OK else (None, "")
    attention = arrived.envelope.header.hex()[5:6] or "0"
    return HostAnswer(
        kind=kind,
        stan=stan,
        answer_class=answer_class,
        facts=_facts(message, code),
        mac=_mac(arrived, terminal, session, keying),
        mismatch=_mismatch(message, echoed, answer_class),
        amount_minor=_number(message.get(4)),
        batch_number=_batch_number(message),
        host_clock=_host_clock(message),
        wrapped_keys=keys,
        key_trouble=trouble,
        host_totals=_host_totals(message, foreign_apart) if kind is ExchangeKind.TOTALS else None,
        attention=attention,
        wants="" if attention == "0" else ATTENTION.get(attention, "something that the reference does not name"),
        wants_sign_in=attention == SIGN_IN_AGAIN,
        icc=message.get(55) or "",
        wants_function=WANTED_FUNCTIONS.get(attention, ""),
        block=(message.get(62) or "") if kind is ExchangeKind.MANAGEMENT else "",
        parameters=told,
        block_trouble=trouble_of_block,
    )


def _parameters(message: Message) -> tuple[Mapping[str, str] | None, str]:
    """What the answer to a parameter download tells, or why it cannot be read; of another, nothing."""
    if (message.get(60) or "")[8:11] != PARAMETERS[5:]:
        return None, ""
    try:
        return parameters.read(bytes.fromhex(message.get(62) or "")), ""
    except MalformedMessage as error:
        return None, f"its parameters cannot be read: {error}"


def _class_of(kind: ExchangeKind, code: str, codes: Mapping[str, Code]) -> AnswerClass:
    if not code and kind is ExchangeKind.TOTALS:
        return AnswerClass.APPROVE  # a 0510 usually has no field 39 (reference 1.6)
    row = codes.get(code)
    return AnswerClass.UNCONFIRMED if row is None else row.answer_class  # D9


def _facts(message: Message, code: str) -> AnswerFacts:
    printed, rrn = message.get(63), message.get(37)
    icc, scripts = from_issuer(message.get(55))
    return AnswerFacts(
        code=code,
        rrn=Rrn(rrn) if rrn is not None else None,
        approval_code=message.get(38),
        host_date=message.get(13),
        host_time=message.get(12),
        settlement_date=message.get(15),
        acquirer=message.get(32),
        parties=message.get(44),
        balances=message.get(54),
        scheme=printed[:3] if printed else None,
        icc=icc,
        scripts=scripts,
        remarks=mask_long_numbers(printed[3:]) if printed and printed[3:] else None,
    )


def _mac(arrived: Arrived, terminal: Terminal, session: Session, keying: Keying) -> MacCheck:
    if arrived.message.mti not in MAC_COVERED:
        return MacCheck.EXEMPT
    try:
        good = mac_is_good(arrived, mak_of(terminal, session, keying), keying.mac)
    except KeyTrouble:
        return MacCheck.BAD
    if good is None:
        return MacCheck.ABSENT
    return MacCheck.GOOD if good else MacCheck.BAD


def _mismatch(message: Message, echoed: Mapping[int, str] | None, answer_class: AnswerClass) -> str:
    """What differs from the request (reference 1.8); an approved part differs in its amount."""
    if message.get(39) is None and message.mti not in ("0510",):
        return "field 39 is missing"
    for field, sent in (echoed or {}).items():
        got = message.get(field)
        if field == 4 and answer_class is AnswerClass.APPROVE_PARTIAL:
            continue
        if got is None and field in (3, 4, 42) and answer_class is not AnswerClass.APPROVE:
            continue  # hosts leave these out of refusals
        if got is None and message.mti not in MAC_COVERED and field not in (11, 41):
            continue
        if got is None and message.mti == SCRIPT_ANSWER and field in (3, 4, 42):
            continue  # nothing says what a 0630 repeats
        if got != sent:
            return f"field {field} is not that of the request"
    return ""


def _batch_number(message: Message) -> BatchNumber | None:
    try:
        number = Field60.parse(message.get(60) or "").batch
    except MalformedMessage:
        return None
    return number if 1 <= number <= BATCH_ADOPTED_MAX else None


def _host_clock(message: Message) -> str | None:
    date, time = message.get(13), message.get(12)
    return f"{date}{time}" if date and time else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _keys(message: Message, terminal: Terminal, keying: Keying) -> tuple[str | None, str]:
    """The key block as received, if its check values hold; else why not (reference 1.6)."""
    block = message.get(62)
    if block is None:
        return None, "the answer has no keys (field 62)" if message.get(39) == "00" else ""
    try:
        terminal.tmk.unwrap(block, keying.layout)
    except KeyTrouble as error:
        return None, str(error)
    return block, ""


def _host_totals(message: Message, foreign_apart: bool) -> HostTotals | None:
    """The host's word on its one group is its word on all."""
    try:
        fields = Field48Totals.parse(message.get(48) or "")
    except MalformedMessage:
        return None
    foreign = fields.foreign or GroupTotals(0, 0, 0, 0)
    totals = Totals(_group(fields.domestic), _group(foreign))
    return HostTotals(totals, _result(fields.domestic), _result(foreign if foreign_apart else fields.domestic))


def _group(group: GroupTotals) -> GroupCount:
    return GroupCount(group.debit_minor, group.debit_count, group.credit_minor, group.credit_count)


def _result(group: GroupTotals) -> GroupResult:
    return RESULTS.get(group.result, GroupResult.UNCLEAR)
