"""Card data and clear keys searched in every file of posd's: a canary that is found anywhere is a finding.

Everything secret of a demo is known here, because all of it was made up: card numbers, tracks, PIN blocks in clear and
as they crossed the wire, master and working keys. A finding names the canary and the file, never the value.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posd.cli.demo.plan import EXPIRY, TID, TMK_HEX, DemoCard, Plan
from simulators.crypto import SIGN_IN_DOUBLE_TRACK, WorkingKeys, decrypt, new_keys, pin_block
from simulators.terminal.core import TRACK_TAIL

FILE_BYTES_MAX = 256 * 1024 * 1024
"""A larger file is a finding of its own: it was not searched."""


@dataclass(frozen=True, slots=True, repr=False)
class Canary:
    """One secret: its name for a finding, and every form in which it could lie on a disk."""

    name: str
    forms: tuple[bytes, ...]


@dataclass(slots=True)
class Searched:
    """What a search went through, and what it found."""

    files: int = 0
    bytes: int = 0
    findings: list[str] = field(default_factory=list)


def canaries(plan: Plan, sign_ins: int, machine_key_hex: str) -> list[Canary]:
    """All secrets of a demo in which the host answered so many sign-ins."""
    secrets = [digits_canary(f"the number of card {card.masked}", card.pan) for card in plan.cards]
    secrets.append(digits_canary("a track's discretionary data", f"{EXPIRY}{TRACK_TAIL}"))
    secrets.append(bytes_canary("the TMK", bytes.fromhex(TMK_HEX)))
    secrets.append(bytes_canary("the machine key", bytes.fromhex(machine_key_hex)))
    for generation in range(1, sign_ins + 1):
        keys = new_keys(plan.seed, TID, generation, SIGN_IN_DOUBLE_TRACK)
        secrets += _of_generation(generation, keys, plan.cards)
    return secrets


def _of_generation(generation: int, keys: WorkingKeys, cards: Sequence[DemoCard]) -> Iterator[Canary]:
    named = {"MAC": keys.mak, "PIN": keys.pik, "track": keys.tdk or b""}
    for name, key in named.items():
        yield bytes_canary(f"the clear {name} key of sign-in {generation}", key)
    for card in cards:
        if card.pin is not None:
            block = pin_block(keys.pik, card.pin, card.pan)
            yield bytes_canary(f"a PIN block of sign-in {generation}", block)
            yield bytes_canary(f"a clear PIN block of card {card.masked}", decrypt(keys.pik, block))


def digits_canary(name: str, digits: str) -> Canary:
    """Digits as text of one or two bytes a character, its hexadecimal and base64, as BCD from either nibble, and that
    with its nibbles the other way round (as SIM cards have it)."""
    text = digits.encode()
    packed = (_bcd(digits), _bcd(digits[1:]))
    forms = (*_texts(text), digits.encode("utf-16-le"), *packed, *map(_swapped, packed), *_base64(packed[0]))
    return Canary(name, forms)


def bytes_canary(name: str, secret: bytes) -> Canary:
    """Bytes as they are, their hexadecimal text in both cases, base64, and as Python or JSON lists them."""
    listed = ", ".join(map(str, secret))
    lists = (listed.encode(), listed.replace(" ", "").encode(), repr(secret)[2:-1].encode())
    return Canary(name, (*_texts(secret), _swapped(secret), *lists))


def _texts(secret: bytes) -> tuple[bytes, ...]:
    return (secret, secret.hex().encode(), secret.hex().upper().encode(), *_base64(secret))


def _bcd(digits: str) -> bytes:
    """Packed two to a byte; a digit that would share its byte with something else is left out."""
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _swapped(packed: bytes) -> bytes:
    return bytes((byte & 0x0F) << 4 | byte >> 4 for byte in packed)


def _base64(secret: bytes) -> tuple[bytes, ...]:
    """The part of it that is the same whatever stands before and behind, at each of the three places in a group."""
    found = []
    for before in range(3):
        whole = b64encode(bytes(before) + secret)
        first, last = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        found.append(whole[first:last])
    return tuple(found)


def search(folder: Path, secrets: Sequence[Canary], without: Sequence[Path] = ()) -> Searched:
    """Look for all of them in every file below `folder` but those named `without`."""
    searched = Searched()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path in without:
            continue
        name = path.relative_to(folder)
        if path.stat().st_size > FILE_BYTES_MAX:
            searched.findings.append(f"{name} is too large to be searched")
            continue
        data = path.read_bytes()
        searched.files += 1
        searched.bytes += len(data)
        searched.findings += [f"{secret.name} stands in {name}" for secret in secrets if holds(data, secret)]
    return searched


def holds(data: bytes, secret: Canary) -> bool:
    """Whether the secret is there in any of its forms."""
    return any(form in data for form in secret.forms)
