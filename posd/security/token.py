"""The bearer token of a till: a secret text in a file, compared in constant time. It must never be shown."""

import hmac
from hashlib import sha256
from pathlib import Path

from posd.errors import ConfigError
from posd.security.guarded import Guarded
from posd.security.secretfile import read_private

TOKEN_CHARACTERS_MIN = 32


class Token(Guarded):
    """Only its digest is kept: what is presented may have any length, and says nothing by the time it takes."""

    __slots__ = ("_digest",)

    def __init__(self, text: bytes) -> None:
        self._digest = sha256(text).digest()

    def __repr__(self) -> str:
        return "<Token>"

    def matches(self, presented: bytes) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(self._digest, sha256(presented).digest())


def load_token(path: Path) -> Token:
    """The token in the file at `path`, mode 0600, white space around it ignored. Raises ConfigError, one line."""
    text = read_private(path, "till token").strip()
    if len(text) < TOKEN_CHARACTERS_MIN or not all(0x21 <= byte <= 0x7E for byte in text):
        raise ConfigError(
            f"till token: {path}: write at least {TOKEN_CHARACTERS_MIN} visible characters without blanks; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return Token(text)
