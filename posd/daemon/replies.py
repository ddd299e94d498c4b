"""Who gets an answer, and what a refusal is in the dialect. `reply_to` is the door's name for one message."""

from posd.core import effects as fx
from posd.errors import CannotEncode
from posd.profiles.contract import Arrived, Outgoing, Profile
from posd.values import Now, RequestId


def refusal(profile: Profile, arrived: Arrived, why: fx.Refusal, now: Now) -> Outgoing | None:
    """A refusal in the dialect; None: this message wants no answer, or nothing that can be said back fits it."""
    try:
        return profile.refuse(arrived.envelope, arrived.message, why.value, now)
    except CannotEncode:
        return None


def reply_name(connection: str, number: int) -> str:
    """The door's name for one message: its connection and the message's number there."""
    return f"{connection}|{number}"


def connection_of(reply_to: str) -> str:
    """The connection to which an answer goes."""
    return reply_to.rpartition("|")[0]


def request_of(answer: fx.ToTerminal) -> RequestId | None:
    match answer.answer:
        case fx.Result(request_id=request_id) | fx.Refused(request_id=request_id):
            return request_id
        case _:
            return None


def approval_of(answer: fx.ToTerminal) -> RequestId | None:
    """The request whose outcome this answer hands over (D16)."""
    return request_of(answer) if isinstance(answer.answer, fx.Result) else None
