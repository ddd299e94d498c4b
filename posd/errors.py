"""The one small tree of errors. Every text says what, where and what to do, and is safe to log.

Expected outcomes (declines, time-outs, a lost line) are values, never exceptions. What is raised is a bug of
ours, a fault of theirs, a bad configuration or a disk that failed (house rule 1). No text here may ever carry
a card number, track data, a PIN block or a key.
"""


class PosdError(Exception):
    """The root. `str(error)` is one line that a user can act on."""


class ConfigError(PosdError):
    """The configuration or an argument is unusable: exit status 2."""


class StorageFailed(PosdError):
    """The journal could not be written, read or trusted: the process stops with status 3 (P3)."""


class MalformedMessage(PosdError):
    """Bytes that are not a message. `what` went wrong in which `field` (None: outside fields) at which `offset`."""

    def __init__(self, what: str, *, field: str | None = None, offset: int | None = None) -> None:
        self.what, self.field, self.offset = what, field, offset
        where = [f"field {field}"] if field is not None else []
        where += [f"offset {offset}"] if offset is not None else []
        super().__init__(f"{what} ({', '.join(where)})" if where else what)


class CannotEncode(PosdError):
    """A message that we wanted to send cannot be said in this dialect (D1): still owed, alerted.

    `at_fault`: of a message about several requests, the one that cannot be said.
    """

    def __init__(self, text: str, at_fault: str | None = None) -> None:
        super().__init__(text)
        self.at_fault = at_fault


class CannotEncodeNow(CannotEncode):
    """As above, for the time being: the key that the message needs is out of reach. Nothing is wrong with it."""


class KeyTrouble(PosdError):
    """A key is missing, malformed, or does not have the check value that it should have."""


class KeyOutOfReach(KeyTrouble):
    """A key cannot be used now, though nothing is wrong with it: the token that holds it does not answer."""


class InvariantBroken(AssertionError):
    """posd would contradict itself: a bug of ours. The lane is fenced, nothing of the step is applied (D4)."""
