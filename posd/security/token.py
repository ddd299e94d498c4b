"""The bearer token of a till: a secret text in a file, compared in constant time. It must never be shown."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from posd.errors import ConfigError
from posd.security.guarded import Guarded
from posd.security.secretfile import read_private

TOKEN_CHARACTERS_MIN = 32


@dataclass(frozen=True, slots=True)
class TokenName:
    """What may be shown of a token: its name in the configuration, and the role that it gives."""

    name: str
    role: str


class Token(Guarded):
    """Only its digest is kept: what is presented may have any length, and says nothing by the time it takes."""

    __slots__ = ("_digest", "known")

    def __init__(self, text: bytes, name: str = "till", role: str = "operate") -> None:
        self._digest = sha256(text).digest()
        self.known = TokenName(name, role)

    def __repr__(self) -> str:
        return "<Token>"

    def matches(self, presented: bytes) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(self._digest, sha256(presented).digest())

    def is_same(self, other: "Token") -> bool:
        """Whether both are one secret."""
        return hmac.compare_digest(self._digest, other._digest)


def load_tokens(named: Iterable[tuple[str, Path, str]]) -> tuple[Token, ...]:
    """Each by name, file and role. Raises ConfigError, one line; also for two that are the same."""
    loaded: list[Token] = []
    for name, path, role in named:
        token = load_token(path, name, role)
        for other in loaded:
            if other.is_same(token):
                raise ConfigError(
                    f"till token: {path}: holds the same token as that of {other.known.name!r}; make one for each"
                )
        loaded.append(token)
    return tuple(loaded)


def load_token(path: Path, name: str = "till", role: str = "operate") -> Token:
    """The token in the file at `path`, mode 0600, white space around it ignored. Raises ConfigError, one line."""
    text = read_private(path, "till token").strip()
    if len(text) < TOKEN_CHARACTERS_MIN or not all(0x21 <= byte <= 0x7E for byte in text):
        raise ConfigError(
            f"till token: {path}: write at least {TOKEN_CHARACTERS_MIN} visible characters without blanks; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return Token(text, name, role)
