"""What we answer to a terminal: its own trace, batch and header again, and the host's word or ours."""

from typing import assert_never

from posd.core import effects as fx
from posd.core.answers import AnswerFacts, GroupResult
from posd.core.state import Session
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field48Totals, GroupTotals
from posd.profiles.answering import host_time, wants_an_answer
from posd.profiles.unionpay.data import BLOCK_003_BYTES, REFUSALS
from posd.profiles.unionpay.knobs import Knobs
from posd.profiles.unionpay.to_host import totals_48
from posd.values import Now

ECHOED = {
    "0100": (2, 3, 4, 11, 25, 41, 42, 49, 53, 60),
    "0200": (2, 3, 4, 11, 25, 41, 42, 49, 53, 60),
    "0220": (2, 3, 4, 11, 25, 41, 42, 49, 53, 60),
    "0400": (2, 3, 4, 11, 25, 41, 42, 49, 60),
    "0620": (2, 3, 4, 11, 25, 41, 42, 49, 60),
    "0500": (11, 41, 42, 49, 60, 63),
    "0320": (11, 41, 42, 48, 60),
    "0800": (11, 41, 42, 60),
    "0820": (11, 41, 42, 60),
}
"""What an answer repeats of the terminal's message (reference 1.6, 1.8, 1.10)."""

ECHOED_OTHERWISE = (3, 11, 41, 42, 60)

RESULTS = {GroupResult.BALANCED: 1, GroupResult.UNBALANCED: 2, GroupResult.UNCLEAR: 3}


def build(request: Message, answer: fx.ToTerminal, session: Session, now: Now, knobs: Knobs) -> Message:
    """The fields of the answer, without its MAC. Raises CannotEncode for what is no request."""
    if not wants_an_answer(request.mti):
        raise CannotEncode(f"MTI {request.mti} is no request: there is no answer to it")
    fields = _base(request, session, now, knobs.zone)
    match answer.answer:
        case fx.Result(facts=facts, approved_minor=part, icc=icc):
            fields |= _told(facts) | ({4: f"{part:012d}"} if part is not None else {})  # D15
            fields |= {55: icc} if icc else {}
        case fx.Refused(refusal=refusal):
            fields[39] = REFUSALS[refusal]
        case fx.SignInResult(wrapped_keys=keys):
            fields |= {39: "00", 62: _served(request, keys)}
        case fx.ManagementResult(code=code, block=block):
            fields |= {39: code} | ({62: block} if block else {})
        case fx.TotalsResult() as totals:
            fields[48] = _field_48(totals, knobs.totals_groups)
        case _:
            assert_never(answer.answer)
    return Message(answer_mti(request.mti), fields)


def refusal(request: Message, refusal: fx.Refusal, session: Session, now: Now, zone: str) -> Message:
    """An answer to what could be read of a message."""
    return Message(answer_mti(request.mti), {**_base(request, session, now, zone), 39: REFUSALS[refusal]})


def answer_mti(mti: str) -> str:
    """0200 -> 0210."""
    return f"{mti[:2]}{int(mti[2]) + 1}{mti[3]}"


def _base(request: Message, session: Session, now: Now, zone: str) -> dict[int, str]:
    """The terminal's own fields, and the host's time as far as we know it."""
    echoed = ECHOED.get(request.mti, ECHOED_OTHERWISE)
    fields = {field: value for field in echoed if (value := request.get(field)) is not None}
    return fields | host_time(session, now, zone)


def _told(facts: AnswerFacts) -> dict[int, str]:
    told = {
        12: facts.host_time,
        13: facts.host_date,
        15: facts.settlement_date,
        32: facts.acquirer,
        37: facts.rrn,
        38: facts.approval_code,
        39: facts.code,
        44: facts.parties,
        54: facts.balances,
        55: facts.icc,
        63: f"{facts.scheme or ''}{facts.remarks or ''}" or None,
    }
    return {field: value for field, value in told.items() if value is not None}


def _served(request: Message, keys: str) -> str:
    """The held block, or the part of it that the terminal's sign-in code asks for."""
    code = (request.get(60) or "")[8:11]
    return keys[: 2 * BLOCK_003_BYTES] if code == "003" else keys


def _field_48(answer: fx.TotalsResult, groups: int) -> str:
    ours = totals_48(answer.totals, groups)
    foreign = _with_result(ours.foreign, answer.foreign) if ours.foreign is not None else None
    return Field48Totals(_with_result(ours.domestic, answer.domestic), foreign).format()


def _with_result(group: GroupTotals, result: GroupResult) -> GroupTotals:
    return GroupTotals(group.debit_minor, group.debit_count, group.credit_minor, group.credit_count, RESULTS[result])
