"""What the dialects share of answers to terminals: which messages want one, and the host's time in them."""

from posd.core.schedule import local
from posd.core.state import Session
from posd.values import Now


def wants_an_answer(mti: str) -> bool:
    """A request or advice; answers (function digit odd) want none."""
    return len(mti) == 4 and mti.isdigit() and mti[2] in "024"


def host_time(session: Session, now: Now, zone: str) -> dict[int, str]:
    """Fields 12 and 13, as far as the host's time is known."""
    moment = local(now.wall_ms + (session.clock_offset_ms or 0), zone)
    return {12: moment.strftime("%H%M%S"), 13: moment.strftime("%m%d")}
