"""What the verbs of the control socket do (D36): questions are answered from adopted states, commands are put to the
terminals' lanes as events with the client's id, so that a repeated wish acts once.

First of all the gate (access.py): nothing is answered, and nothing done, for somebody who may not ask it.
"""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from posd.daemon.control.access import Access
from posd.daemon.control.arguments import COMMANDS
from posd.daemon.control.commands import Commands, Wish
from posd.daemon.control.key_verbs import KEY_VERBS, KeyVerbs
from posd.daemon.control.server import ControlFailed, Reply, Request
from posd.daemon.control.sight import DaemonAt, Sight
from posd.daemon.log import log
from posd.daemon.shown.questions import QUESTIONS, answer, checked
from posd.daemon.shown.views import View
from posd.errors import ConfigError
from posd.values import Who

VERBS = (*QUESTIONS, *COMMANDS, *KEY_VERBS)


class ArchivistAt(Protocol):
    """Who moves closed months out of the journal's database (daemon/archive/beside.py)."""

    def archive(
        self, before: str | None, by: str, who: Who
    ) -> AsyncIterator[tuple[Literal["progress", "result"], View]]: ...


class Control(Sight):
    """The handler of a ControlServer."""

    verbs = VERBS

    def __init__(
        self,
        daemon: DaemonAt,
        access: Access,
        keys: KeyVerbs | None = None,
        archivist: ArchivistAt | None = None,
    ) -> None:
        super().__init__(daemon)
        self._access, self._commands = access, Commands(self, access)
        self._keys, self._archivist = keys, archivist

    async def handle(self, request: Request) -> AsyncIterator[Reply]:
        """Answer one request. Raises NotAllowed, ConfigError for arguments, ControlFailed for what a lane refuses."""
        who = await self._access.admit(request.verb, request.peer)
        wish = Wish(request.id, request.verb, request.args, who)
        match request.verb:
            case verb if verb in QUESTIONS:
                yield Reply("result", answer(verb, request.args, self.everything(), self.posd()))
            case verb if verb in KEY_VERBS and self._keys is not None:
                yield Reply("result", await self._keys.do(verb, request.args, str(who)))
            case "journal.archive":
                async for reply in self._archive(wish):
                    yield reply
            case "terminal.download":
                async for reply in self._commands.download(wish):
                    yield reply
            case "settle":
                async for reply in self._commands.settle(wish):
                    yield reply
            case verb if verb in COMMANDS:
                yield Reply("result", await self._commands.do(wish))
            case verb:
                raise ConfigError(f"unknown verb {verb!r}; there are {', '.join(VERBS)}")

    async def _archive(self, wish: Wish) -> AsyncIterator[Reply]:
        """Move what can go of the months before the present one, or before the one asked for."""
        given = checked(wish.verb, wish.args, COMMANDS[wish.verb])
        by = self._commands.by(wish, given, decides=False)
        if self._archivist is None:
            raise ControlFailed("this daemon has no archive")
        log.info("archive_asked", before=given.get("before"), by=by, who=str(wish.who))
        async for kind, data in self._archivist.archive(given.get("before"), by, wish.who):
            yield Reply(kind, data)
