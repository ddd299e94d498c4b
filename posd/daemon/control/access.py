"""The gate of the control socket: may this user do this? By the kernel's word for who it is and the configuration's for
what they may.

Names of the configuration become ids once, at the start. It must never let through what it does not know: a verb
without a role, a user of another namespace.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posd.config.access import id_of, unknown_names
from posd.daemon.control.peer import Peer, who_is
from posd.daemon.control.roles import ROLE_OF, Role
from posd.daemon.control.server import Misused
from posd.daemon.log import alert
from posd.daemon.station_lane import Denied
from posd.settings import AccessSettings, Grantee, Settings
from posd.values import NOBODY_KNOWN, Who

ROOT = 0
NAMED_MAX = 8
"""Of those who may, so many are named to one who may not."""
KNOWN_MAX = 256
DOOR = "control"


class NotAllowed(Misused):
    """Somebody asked for what is not theirs to ask. Exit status 2: nothing failed, and to try again changes nothing."""


@dataclass(frozen=True, slots=True)
class _Right:
    """Who has one role, as it was written and as ids."""

    written: tuple[Grantee, ...]
    everybody: bool
    uids: frozenset[int]
    gids: frozenset[int]

    def has(self, peer: Peer) -> bool:
        return self.everybody or peer.uid in self.uids or bool(self.gids & peer.gids)


Rights = Mapping[Role, _Right]


def rights_of(settings: AccessSettings) -> Rights:
    """What the settings say, with the ids that the names have now. May wait for a directory service."""
    return {role: _right(getattr(settings, role.value)) for role in Role}


def alert_unknown(settings: Settings) -> None:
    """Names that this machine does not know give nobody a role; that is no reason to stand still."""
    for place, one in unknown_names(settings):
        alert("access_unknown", role=str(place[1]), who=str(one), to_do="correct it, or make it, then reload posd")


class Access:
    """Who may do what. `tell` is told of every refusal."""

    def __init__(self, settings: AccessSettings, tell: Callable[[Denied], None], own_uid: int | None = None) -> None:
        self._rights = rights_of(settings)
        self._masters = frozenset({ROOT, os.geteuid() if own_uid is None else own_uid})
        self._tell = tell
        self._known: dict[int, Who] = {}

    def renew(self, rights: Rights) -> None:
        """Whoever asks from now on is let in, or not, by these."""
        self._rights = rights
        self._known.clear()

    def roles_of(self, peer: Peer) -> frozenset[Role]:
        """Everything that they may do; nothing for nobody."""
        if peer.uid is None:
            return frozenset()
        if peer.uid in self._masters:
            return frozenset(Role)
        held = {role for role, right in self._rights.items() if right.has(peer)}
        return frozenset(held | {Role.VIEW} if held else held)

    async def admit(self, verb: str, peer: Peer) -> Who:
        """Who asks for `verb`. Raises NotAllowed, which says what is missing and what to do."""
        wanted = ROLE_OF.get(verb)
        who = await self.who(peer)
        held = self.roles_of(peer)
        if wanted is not None and wanted in held:
            return who
        self._tell(Denied(who, DOOR, verb, wanted.value if wanted is not None else ""))
        raise NotAllowed(self._why_not(verb, wanted, who, held))

    async def who(self, peer: Peer) -> Who:
        """With their name; asked for in a thread, because a directory service may take its time."""
        if peer.uid is None or peer.uid in self._known:
            return self._known[peer.uid] if peer.uid is not None else NOBODY_KNOWN
        who = await asyncio.to_thread(who_is, peer)
        if who.user and len(self._known) < KNOWN_MAX:
            self._known[peer.uid] = who
        return who

    def _why_not(self, verb: str, wanted: Role | None, who: Who, held: frozenset[Role]) -> str:
        if wanted is None:
            return f"{verb} has no role, so nobody may do it: this is a bug of posd, please report it"
        needs = f"{verb} needs the role {wanted.value!r}"
        if not who.is_known:
            where = "you seem to be in a container; run it on the machine itself"
            return f"{needs}, and posd cannot know who you are: {where}"
        has = f"have {' and '.join(role.value for role in Role if role in held)} only" if held else "have no role"
        may = ["root", *map(str, self._rights[wanted].written)][:NAMED_MAX]
        add = f"user:{who.user or who.uid}"
        ask = f"ask {' or '.join(may)}, or have {add} added to access.{wanted.value}"
        return f"{needs}; you are {who}, and {has}; {ask}"

    def is_shared(self, who: Who) -> bool:
        """Whether it is an account and not a person: root's, or posd's own."""
        return who.uid in self._masters


def _right(written: tuple[Grantee, ...]) -> _Right:
    ids: dict[str, set[int]] = {"user": set(), "group": set(), "socket": set()}
    for one in written:
        if one.kind != "socket" and (number := id_of(one)) is not None:
            ids[one.kind].add(number)
    everybody = any(one.kind == "socket" for one in written)
    return _Right(written, everybody, frozenset(ids["user"]), frozenset(ids["group"]))
