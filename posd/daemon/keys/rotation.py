"""The rotation of the machine key in a process that works with it: wrap everything anew, while everything goes on.

The new key comes wrapped under the present one, so only who has that can bring it. From then on whatever is made is
under the new key; what lies there is wrapped anew file by file, each replaced at once. It may be killed anywhere and
done again: what is under the new key already is left alone. That the file of the machine key itself is replaced is the
work of the command that brought the key, and comes last.
"""

import asyncio

from posd.core.records.keys import KeyOperationFailed, MachineKeyRotation
from posd.daemon.keys.custody import Remember
from posd.daemon.shown.views import View
from posd.errors import ConfigError, KeyTrouble, PosdError
from posd.security.keystore import KeyStore
from posd.security.machine import MachineKey, parse_machine_key
from posd.security.rewrapped import Rewrapped
from posd.security.vault import DataKeys
from posd.security.wrapping import Wrapping

PURPOSE, WHAT = "rotation", "machine key"


class Rotation:
    """`machine_keys`: the present one, and in the middle of a rotation the one before it."""

    def __init__(
        self, data_keys: DataKeys, tmks: KeyStore, machine_keys: tuple[MachineKey, ...], remember: Remember
    ) -> None:
        self._data_keys, self._tmks, self._remember = data_keys, tmks, remember
        self._machine_keys = machine_keys
        self._turn = asyncio.Lock()

    async def run(self, wrapped: bytes, by: str, asked_by: str) -> View:
        """Raises ConfigError for a key that cannot follow, StorageFailed; then it is to be done again."""
        async with self._turn:
            new, old = self._pair(wrapped)
            self._machine_keys = (new, old)
            await self._remember(MachineKeyRotation("begun", old.id, new.id, 0, by, asked_by))
            try:
                done = await asyncio.to_thread(self._rewrap, new, old)
            except PosdError as error:
                await self._remember(KeyOperationFailed("rotation of the machine key", str(error)))
                raise
            await self._remember(MachineKeyRotation("ended", old.id, new.id, done.done, by, asked_by))
        return {"old": old.id, "new": new.id, "rewrapped": done.done, "unreadable": list(done.unreadable)}

    def _pair(self, wrapped: bytes) -> tuple[MachineKey, MachineKey]:
        try:
            new = parse_machine_key(Wrapping(PURPOSE, *self._machine_keys).unwrap(wrapped, WHAT))
        except KeyTrouble:
            raise ConfigError(
                "the machine key of the running posd is not the one in machine_key_file; restart posd, and rotate again"
            ) from None
        old = next((key for key in self._machine_keys if key.id != new.id), None)
        if old is None or not new.continues(old):
            raise ConfigError("the new machine key is not one of this journal; nothing was changed")
        return new, old

    def _rewrap(self, new: MachineKey, old: MachineKey) -> Rewrapped:
        return self._data_keys.rotate(new, old) + self._tmks.rotate(new, old)


def wrapped_for(new: MachineKey, present: MachineKey) -> bytes:
    """The new key as only whoever has the present one can read it."""
    return Wrapping(PURPOSE, present).wrap(new.text(), WHAT)
