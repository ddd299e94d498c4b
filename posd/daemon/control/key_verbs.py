"""The verbs of keys: what `posd keys` asks of the running daemon. A key comes in by keys.load and never goes out."""

from collections.abc import Mapping
from typing import Any

from posd.config.keyhome import cipher_of
from posd.daemon.control.arguments import NAME_CHARACTERS_MAX, text_of, who, why
from posd.daemon.keys.custody import Custody, key_of
from posd.daemon.keys.rotation import Rotation
from posd.daemon.shown.questions import checked
from posd.daemon.shown.views import View
from posd.errors import ConfigError
from posd.settings import Settings
from posd.settings.types import TMK_INDEX_MAX

KEY_VERBS: Mapping[str, Mapping[str, type]] = {
    "keys.list": {},
    "keys.load": {"tid": str, "index": int, "key": str, "by": str},
    "keys.remove": {"tid": str, "index": int, "by": str, "reason": str},
    "keys.rotate": {"wrapped": str, "by": str},
}
"""Verb -> its arguments."""

PEOPLE_MAX = 3
BETWEEN_NAMES = ";"


class KeyVerbs:
    """Puts them to the custody; `asked_by`: whom the machine knows to have asked."""

    def __init__(self, settings: Settings, custody: Custody, rotation: Rotation) -> None:
        self._settings, self._custody, self._rotation = settings, custody, rotation

    async def do(self, verb: str, args: Mapping[str, Any], asked_by: str) -> View:
        """Raises ConfigError for arguments, KeyTrouble and the like for what cannot be done."""
        given = checked(verb, args, KEY_VERBS[verb])
        match verb:
            case "keys.list":
                return await self._custody.listed()
            case "keys.load":
                key = key_of(given.get("key", ""), cipher_of(self._settings))
                return await self._custody.load(*_which(verb, given), key, people(verb, given), asked_by)
            case "keys.remove":
                by, reason = who(verb, given), why(verb, given)
                return await self._custody.remove(*_which(verb, given), by, reason, asked_by)
            case "keys.rotate":
                return await self._rotation.run(_wrapped(verb, given), who(verb, given), asked_by)
            case _:
                raise ConfigError(f"{verb} cannot be done here")


def _which(verb: str, given: Mapping[str, Any]) -> tuple[str, int]:
    tid, index = str(given.get("tid", "")), given.get("index", 0)
    if len(tid) != 8 or not all(0x21 <= ord(char) <= 0x7E for char in tid):
        raise ConfigError(f"{verb}: 'tid' must be 8 characters without blanks (field 41)")
    if not 0 <= index <= TMK_INDEX_MAX:
        raise ConfigError(f"{verb}: 'index' must be 0 to {TMK_INDEX_MAX}")
    return tid, index


def _wrapped(verb: str, given: Mapping[str, Any]) -> bytes:
    try:
        return bytes.fromhex(str(given.get("wrapped", "")))
    except ValueError:
        raise ConfigError(f"{verb}: 'wrapped' must be hexadecimal") from None


def people(verb: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Who entered it: one to three names with ";" between them. Raises ConfigError."""
    names = [name.strip() for name in str(given.get("by", "")).split(BETWEEN_NAMES)]
    if len(names) > PEOPLE_MAX or len({name.casefold() for name in names}) < len(names):
        raise ConfigError(
            f"{verb}: 'by' must be one to {PEOPLE_MAX} different names, with {BETWEEN_NAMES!r} between them"
        )
    what = "who entered the key"
    return tuple(text_of(verb, "by", {"by": name}, NAME_CHARACTERS_MAX, what) for name in names)
