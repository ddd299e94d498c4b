"""The objects of posd's in a token: TMKs, what is noted beside them, and the session objects that working keys are.

Whatever is a key is private, sensitive and cannot be extracted. All of this is for the token's own thread.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.constants import MechanismFlag

from posd.errors import KeyTrouble
from posd.security.des import BLOCK_BYTES, CHECK_VALUE_BYTES, KEY_BYTES_DOUBLE
from posd.security.keystore import KeyInfo

LABEL = re.compile(r"posd-tmk (\S{8}) ([0-9])( left)?")
LEFT = " left"
"""The left half of a key that signs itself, as a key: X9.19 wants it, and no token gives half a key."""


class Noted(NamedTuple):
    """What stands beside a TMK; the token itself keeps no more than a label."""

    cipher: str = "3DES"
    by: tuple[str, ...] = ()
    at_ms: int = 0
    length: int = KEY_BYTES_DOUBLE


def label_of(tid: str, index: int) -> str:
    """What a TMK is called in the token."""
    return f"posd-tmk {tid} {index}"


def keys(session: pkcs11.Session) -> Iterator[Any]:
    """Every TMK of posd's, by terminal and index."""
    every: list[Any] = list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}))
    ours = [key for key in every if (match := LABEL.fullmatch(key.label or "")) and not match[3]]
    return iter(sorted(ours, key=lambda key: str(key.label)))


def found(session: pkcs11.Session, label: str) -> list[Any]:
    """Secret keys of that label."""
    return list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}))


def notes(session: pkcs11.Session, label: str) -> list[Any]:
    """What stands beside a key of that label."""
    return list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label}))


def the(session: pkcs11.Session, label: str) -> Any:
    """The key of that label. Raises KeyTrouble."""
    there = found(session, label)
    if not there:
        raise KeyTrouble(f"the token has no key {label!r} any more; run: posd keys list")
    return there[0]


def noted(session: pkcs11.Session, label: str) -> Noted:
    """What stands beside a TMK, or nothing where it was put there by another hand."""
    for one in notes(session, label):
        said = json.loads(one[Attribute.VALUE])
        return Noted(said["cipher"], tuple(said["by"]), said["at_ms"], said["length"])
    return Noted()


def info_of(session: pkcs11.Session, key: Any, home: str) -> KeyInfo:
    """What may be known of a TMK; its check value is the token's own."""
    tid, index, _ = LABEL.fullmatch(key.label).groups()  # type: ignore[union-attr]
    said = noted(session, key.label)
    return KeyInfo(tid, int(index), said.cipher, check_value_of(key), home, said.by, said.at_ms)


def check_value_of(key: Any) -> str:
    """8 upper-case hexadecimal digits."""
    block: bytes = key.encrypt(bytes(BLOCK_BYTES), mechanism=Mechanism.DES3_ECB)
    return block[:CHECK_VALUE_BYTES].hex().upper()


def note(label: str, said: Noted) -> dict[Attribute, Any]:
    """What may be known of a key, beside it."""
    return {
        Attribute.CLASS: ObjectClass.DATA,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.LABEL: label,
        Attribute.APPLICATION: "posd",
        Attribute.VALUE: json.dumps(said._asdict()).encode(),
    }


def _template(*, unwraps: bool, works: bool, stays: bool) -> dict[Attribute, Any]:
    """A key that nobody can take out. `works`: it encrypts and decrypts what is given; `unwraps`: it opens keys."""
    return {
        Attribute.TOKEN: stays,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.MODIFIABLE: False,
        Attribute.WRAP: False,
        Attribute.UNWRAP: unwraps,
        Attribute.ENCRYPT: True,
        Attribute.DECRYPT: works,
    }


def _object(key: bytes) -> dict[Attribute, Any]:
    return {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.DES2, Attribute.VALUE: key}


def permanent(label: str, key: bytes, *, unwraps: bool) -> dict[Attribute, Any]:
    """A TMK. It decrypts only where the token cannot unwrap, or where it is the key of a MAC itself."""
    return {**_object(key), Attribute.LABEL: label, **_template(unwraps=unwraps, works=not unwraps, stays=True)}


def passing(key: bytes, *, unwraps: bool = False) -> dict[Attribute, Any]:
    """A session object."""
    return {**_object(key), **_template(unwraps=unwraps, works=True, stays=False)}


def unwrapped(tmk: Any, wrapped: bytes) -> Any:
    """A session object: a key that was wrapped under `tmk`, which never was outside."""
    template = _template(unwraps=False, works=True, stays=False)
    return tmk.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.DES2,
        wrapped,
        mechanism=Mechanism.DES3_ECB,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        template=template,
    )
