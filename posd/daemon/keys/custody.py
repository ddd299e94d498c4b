"""What a person does to TMKs, in the running daemon or beside a stopped one: load, list, remove.

The record comes first and the deed after it: a key that was touched without a record is what an auditor must never
find. What then fails is recorded as failed. No view, record or error holds a key.
"""

import asyncio
from collections.abc import Awaitable, Callable

from posd.config.keyhome import cipher_of, signs_itself
from posd.core.records.keys import KeyOperationFailed, KeyRecord, TmkLoaded, TmkRemoved
from posd.core.schedule import local
from posd.daemon.shown.views import View
from posd.errors import ConfigError, PosdError
from posd.security.keys import KeyCipher
from posd.security.keystore import KeyInfo, KeyStore, NewTmk, NoSuchKey, exists_already
from posd.settings import Settings
from posd.values import Now

Remember = Callable[[KeyRecord], Awaitable[None]]
"""Makes a record durable; returns when it is."""


class Custody:
    """Over one key store. `remember` makes a record durable before anything is done."""

    def __init__(self, settings: Settings, store: KeyStore, remember: Remember, now: Callable[[], Now]) -> None:
        self._settings, self._store, self._remember, self._now = settings, store, remember, now

    async def listed(self) -> View:
        """Every TMK by what may be known of it."""
        infos = await asyncio.to_thread(self._store.list)
        known = [self._view(info) for info in infos]
        plain = [{"tid": one.tid, "file": str(one.tmk_file)} for one in self._settings.terminals if one.tmk_file]
        return {"home": self._store.home, "keys": known, "plain": plain}

    async def load(self, tid: str, index: int, key: bytes, by: tuple[str, ...], asked_by: str) -> View:
        """Keep a new TMK. Raises ConfigError for one that is there: none is ever replaced."""
        if any((one.tid, one.index) == (tid, index) for one in await asyncio.to_thread(self._store.list)):
            raise exists_already(tid, index)
        signs, at_ms = signs_itself(self._settings), self._now().wall_ms
        new = NewTmk(tid, index, key, cipher_of(self._settings), by, at_ms, signs)
        info = new.info(self._store.home)
        record = TmkLoaded(tid, index, info.cipher, info.check_value, info.home, by, asked_by)
        await self._after(record, f"load of the TMK of {tid}, index {index}", lambda: self._store.add(new))
        return self._view(info)

    async def remove(self, tid: str, index: int, by: str, reason: str, asked_by: str) -> View:
        """Destroy a TMK that no terminal works with."""
        if (tid, index) in self._in_use():
            raise ConfigError(
                f"terminal {tid} works with index {index}; write another tmk_index for it, restart posd, then remove it"
            )
        infos = {(one.tid, one.index): one for one in await asyncio.to_thread(self._store.list)}
        info = infos.get((tid, index))
        if info is None:
            raise NoSuchKey(tid, index)
        record = TmkRemoved(tid, index, info.check_value, info.home, by, reason, asked_by)
        await self._after(record, f"removal of the TMK of {tid}, index {index}", lambda: self._store.remove(tid, index))
        return self._view(info)

    async def _after(self, record: KeyRecord, what: str, deed: Callable[[], object]) -> None:
        await self._remember(record)
        try:
            await asyncio.to_thread(deed)
        except PosdError as error:
            await self._remember(KeyOperationFailed(what, str(error)))
            raise

    def _in_use(self) -> set[tuple[str, int]]:
        return {(one.tid, one.tmk_index) for one in self._settings.terminals if one.tmk_file is None}

    def _view(self, info: KeyInfo) -> View:
        zone = self._settings.settlement.zone
        return {
            "tid": info.tid,
            "index": info.index,
            "in_use": (info.tid, info.index) in self._in_use(),
            "cipher": info.cipher,
            "check_value": info.check_value,
            "home": info.home,
            "by": list(info.by),
            "at": local(info.at_ms, zone).isoformat() if info.at_ms else None,
            "age_s": max(0, (self._now().wall_ms - info.at_ms) // 1000) if info.at_ms else None,
        }


def key_of(text: str, cipher: KeyCipher) -> bytes:
    """A TMK as hexadecimal digits. Raises ConfigError, which shows none of them."""
    lengths = [2 * length for length in cipher.tmk_bytes]
    if len(text) not in lengths or not all(digit in "0123456789abcdefABCDEF" for digit in text):
        wanted = " or ".join(map(str, sorted(lengths, reverse=True)))
        raise ConfigError(f"a TMK has {wanted} hexadecimal digits; these are {len(text)} characters")
    return bytes.fromhex(text)
