"""Records of key operations: who did what to which key and when, with check values and never a key.

They stand with the station's, because a key may belong to a terminal that has no lane yet. `by`: the people who were
named; `asked_by`: whom the machine knows to have typed it.
"""

from msgspec import Struct


class TmkLoaded(Struct, frozen=True):
    """A TMK is about to be kept in `home`, entered by the people of `by`."""

    tid: str
    index: int
    cipher: str
    check_value: str
    home: str
    by: tuple[str, ...]
    asked_by: str


class TmkRemoved(Struct, frozen=True):
    """A TMK is about to be destroyed."""

    tid: str
    index: int
    check_value: str
    home: str
    by: str
    reason: str
    asked_by: str


class KeyOperationFailed(Struct, frozen=True):
    """What a record before this one announced was not done."""

    operation: str
    because: str


class MachineKeyRotation(Struct, frozen=True):
    """The machine key is replaced: `stage` "begun" (again after a kill), or "ended": all is under the new one.

    `old`, `new`: their ids. `rewrapped`: so many files were wrapped anew.
    """

    stage: str
    old: str
    new: str
    rewrapped: int
    by: str
    asked_by: str


class TokenChanged(Struct, frozen=True):
    """The token that holds the keys went out of reach, or came back; `because`: why it is out of reach."""

    reachable: bool
    because: str


KeyRecord = TmkLoaded | TmkRemoved | KeyOperationFailed | MachineKeyRotation | TokenChanged
