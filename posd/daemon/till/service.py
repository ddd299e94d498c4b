"""The JSON door put together: its sockets, its verbs, the way to the lanes. Imported only where it is configured."""

from collections.abc import Callable

from posd.daemon.control.sight import Sight
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.log import alert
from posd.daemon.router import Lanes
from posd.daemon.till.api import Place, TillApi
from posd.daemon.till.caller import Tell, Tokens
from posd.daemon.till.door import TillDoor
from posd.daemon.till.side import TillSide
from posd.profiles.contract import Outgoing
from posd.security.token import load_tokens
from posd.settings import Settings
from posd.values import Now

JOURNAL_FOLDER = "journal"


class TillService:
    """Starts and ends with the daemon. Raises ConfigError where its token cannot be read."""

    def __init__(
        self,
        settings: Settings,
        lanes: Lanes,
        control: Sight,
        digest_key: bytes,
        head: Callable[[], int],
        now: Callable[[], Now],
        tell: Tell,
    ) -> None:
        till = settings.till
        self._side = TillSide(lanes, now)
        place = Place(
            control=control,
            side=self._side,
            runners=lanes.lanes,
            digest_key=digest_key,
            journal=settings.state_dir / JOURNAL_FOLDER,
            head=head,
            zone=settings.settlement.zone,
            cards_accepted=till.card_data == "accepted",
            tell=tell,
        )
        tokens, where = load_tokens(till.every_token), (till.socket, till.listen)
        handle = TillApi(place).handle
        self.door = TillDoor(handle, lambda: now().monotonic_s, till.connections_max, *where, tokens, tell)
        self._warn = str(till.listen) if till.on_network else ""

    async def start(self) -> None:
        """Open the door. Raises ConfigError."""
        if self._warn:
            to_do = "let only your TLS proxy reach it (firewall); whoever is in between reads card numbers and tokens"
            alert("till_open_to_network", listen=self._warn, to_do=to_do)
        await self.door.start()

    def shown(self) -> list[DoorShown]:
        """How the doors for tills are, for those who ask."""
        return self.door.shown()

    def renew(self, tokens: Tokens) -> None:
        """Whoever asks from now on has to know one of these."""
        self.door.renew(tokens)

    def stop_accepting(self) -> None:
        """Nobody new, and nothing more is sent; what is under way is finished."""
        self._side.stopping = True
        self.door.stop_accepting()

    async def stop(self) -> None:
        """Hang up."""
        await self.door.stop()

    def answer(self, connection: str, outgoing: Outgoing) -> bool:
        """A lane's word for a till."""
        return self._side.answer(connection, outgoing)
