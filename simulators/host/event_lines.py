"""What the simulated host says about itself: one event a line, masked, and who it is said to."""

import json
from collections.abc import Callable

from posd.iso8583.message import Message
from simulators.fields import mask_pan
from simulators.host.faults import pan_of

Emit = Callable[[dict[str, object]], None]


def printer(quiet: bool) -> Emit:
    """Events as JSON lines; quiet: only where it listens. A reader that has gone away is no reason to stop."""
    gone = False

    def emit(event: dict[str, object]) -> None:
        nonlocal gone
        if gone or (quiet and event["event"] != "listening"):
            return
        try:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        except BrokenPipeError:
            gone = True

    return emit


def described(message: Message) -> dict[str, object]:
    """A message for an event line: identities, amount, code; the card as first six and last four."""
    amount, pan = message.get(4), pan_of(message)
    facts: dict[str, object | None] = {
        "mti": message.mti,
        "tid": message.get(41),
        "stan": int(message.get(11) or "0") or None,
        "code60": (message.get(60) or "")[8:11] or None,
        "batch": (message.get(60) or "")[2:8] or None,
        "amount": int(amount) if amount else None,
        "card": mask_pan(pan) if pan else None,
        "code": message.get(39),
        "rrn": message.get(37),
    }
    return {name: value for name, value in facts.items() if value is not None}
