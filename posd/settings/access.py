"""Who may do what, and what takes two people: roles for users and groups of this machine, and tills by their tokens."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from posd.settings.types import SECONDS_MAX, Amount, PathText, Section, _distinct, _listed, _matching

SOCKET = "socket"
"""Whoever the control socket's file mode lets in."""

ID_MAX = 2**32 - 2
GRANTEES_MAX = 256
TILL_TOKENS_MAX = 64

PROXIED = "yes, behind our own TLS proxy"
"""The words in which a shop says that till.listen may be reached from other machines."""


@dataclass(frozen=True, slots=True)
class Grantee:
    """Who has a role: a user, a group, or (`kind` "socket") everybody who can open the control socket.

    `name` is a name or a number.
    """

    kind: Literal["user", "group", "socket"]
    name: str = ""

    @property
    def number(self) -> int | None:
        """The id, where one was written instead of a name."""
        return int(self.name) if self.name.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def _grantee(text: object) -> Grantee:
    if isinstance(text, Grantee):
        return text
    if text == SOCKET:
        return Grantee("socket")
    match = re.fullmatch(r"(user|group):([A-Za-z0-9_.][A-Za-z0-9_.@-]{0,63}\$?)", str(text), re.ASCII)
    if match is None:
        raise ValueError('must be a user, a group, or the word socket; write "user:lina", "group:1001" or "socket"')
    if match[2].isdecimal() and int(match[2]) > ID_MAX:
        raise ValueError(f"an id is 0 to {ID_MAX}; correct the number")
    return Grantee("user" if match[1] == "user" else "group", match[2])


Grantees = Annotated[
    tuple[Annotated[Grantee, PlainValidator(_grantee)], ...],
    BeforeValidator(_listed),
    AfterValidator(_distinct),
    Field(max_length=GRANTEES_MAX),
]
TokenName = Annotated[
    str,
    AfterValidator(_matching("[A-Za-z0-9_-]{1,24}", 'must be 1 to 24 letters, digits, "-" or "_"; write "display"')),
]


class AccessSettings(Section):
    """Roles on the control socket. root and posd's own user have all of them; every role may also view."""

    view: Grantees = (Grantee("socket"),)
    operate: Grantees = (Grantee("socket"),)
    approve: Grantees = (Grantee("socket"),)
    keys: Grantees = ()


class ApprovalSettings(Section):
    """What takes two different people."""

    two_people_above: Amount = 0
    proposal_ends_after_s: Annotated[float, Field(ge=60, le=SECONDS_MAX, allow_inf_nan=False)] = 86_400.0


class TillToken(Section):
    """One till's own token: who it is, and whether it may order or only look."""

    name: TokenName
    file: PathText
    role: Literal["view", "operate"] = "operate"
