"""What we answer to a NAC terminal: its own numbers again, and the host's word or ours (reference 2.3 to 2.5)."""

from typing import assert_never

from posd.core import effects as fx
from posd.core.answers import AnswerFacts, GroupResult
from posd.core.state import Session
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.profiles.answering import host_time, wants_an_answer
from posd.profiles.nac.data import CLOSE, REFUSALS, TRANSFER
from posd.profiles.nac.from_terminal import first_mti
from posd.profiles.nac.parameters import fields_of
from posd.values import Now

ECHOED = (3, 4, 11, 24, 41)
"""What an answer repeats of the terminal's message (samples N6, N8)."""

APPROVED, OUT_OF_BALANCE = "00", "77"


def build(request: Message, answer: fx.ToTerminal, session: Session, now: Now, zone: str) -> Message:
    """The fields of the answer, without its MAC. Raises CannotEncode for what is no request."""
    if not wants_an_answer(request.mti):
        raise CannotEncode(f"MTI {request.mti} is no request: there is no answer to it")
    fields = _base(request, session, now, zone)
    match answer.answer:
        case fx.Result(facts=facts, approved_minor=part, icc=icc):
            fields |= _told(facts) | ({4: f"{part:012d}"} if part is not None else {})  # D15
            fields |= {55: icc} if icc else {}
        case fx.Refused(refusal=refusal):
            fields[39] = REFUSALS[refusal]
        case fx.ManagementResult(code=code, block=block):
            fields |= {**fields_of(block), 39: code}
        case fx.SignInResult():
            fields[39] = APPROVED
        case fx.TotalsResult() as totals:
            fields[39] = _agrees(request, totals)
        case _:
            assert_never(answer.answer)
    return Message(answer_mti(request.mti), fields)


def refusal(request: Message, refusal: fx.Refusal, session: Session, now: Now, zone: str) -> Message:
    """An answer to what could be read of a message."""
    return Message(answer_mti(request.mti), {**_base(request, session, now, zone), 39: REFUSALS[refusal]})


def answer_mti(mti: str) -> str:
    """0200 -> 0210; a repeat is answered as the first."""
    first = mti if mti[:2] == "04" else first_mti(mti)
    return f"{first[:2]}{int(first[2]) + 1}0"


def _agrees(request: Message, totals: fx.TotalsResult) -> str:
    """95 asks for the upload; 77 ends it (reference 2.5)."""
    if totals.domestic is GroupResult.BALANCED and totals.foreign is GroupResult.BALANCED:
        return APPROVED
    return OUT_OF_BALANCE if request.get(3) == CLOSE else TRANSFER


def _base(request: Message, session: Session, now: Now, zone: str) -> dict[int, str]:
    """The terminal's own fields, and the host's time as far as we know it."""
    fields = {field: value for field in ECHOED if (value := request.get(field)) is not None}
    return fields | host_time(session, now, zone)


def _told(facts: AnswerFacts) -> dict[int, str]:
    told = {
        12: facts.host_time,
        13: facts.host_date,
        15: facts.settlement_date,
        37: facts.rrn,
        38: facts.approval_code,
        39: facts.code,
        55: facts.icc,
    }
    return {field: value for field, value in told.items() if value is not None}
