"""Finding the token, and logging in to it once: a PIN that was refused is remembered and never tried again.

After three wrong PINs a token locks, and a service that is restarted tries as often as it is restarted. So what was
refused stands in a file, as a keyed digest of token and PIN; only another PIN is tried.
"""

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import TokenFlag
from pkcs11 import exceptions as trouble

from posd.errors import ConfigError
from posd.security.guarded import Guarded
from posd.security.machine import MachineKey
from posd.security.secretfile import read_private, write_new_secret
from posd.security.tokenkeys import PinRefused, TokenKeys
from posd.security.tokenthread import TokenThread

REFUSED_FILE = "token-pin-refused"
PURPOSE = "token pin"


def open_token(
    module: Path, label: str, pin_file: Path, wait_max_s: float, state_dir: Path, machine_key: MachineKey
) -> TokenKeys:
    """The token's keys, logged in. Raises ConfigError: no library, no such token, a wrong PIN; KeyOutOfReach."""
    pin = _pin(pin_file)
    try:
        library = pkcs11.lib(str(module))
    except (trouble.PKCS11Error, RuntimeError, OSError) as error:
        raise ConfigError(f"keys.module: {module}: is no PKCS#11 library that works here: {error}") from None
    login = Login(library, label, pin, pin_file, state_dir / REFUSED_FILE, machine_key.derive(PURPOSE))
    keys = TokenKeys(f"token {label!r}", login, TokenThread(wait_max_s))
    keys.reconnect()
    return keys


class Login(Guarded):
    """Gives a session that is logged in, as often as the token comes back."""

    def __init__(
        self, library: Any, label: str, pin: str, pin_file: Path, refused_file: Path, digest_key: bytes
    ) -> None:
        self._library, self._label, self._pin, self._pin_file = library, label, pin, pin_file
        self._refused_file, self._digest_key = refused_file, digest_key
        self._before = False

    def __call__(self) -> pkcs11.Session:
        token = self._found()
        mark = hmac.new(self._digest_key, f"{token.serial!r} {self._pin}".encode(), sha256).hexdigest().encode()
        self._refuse_again(mark)
        if token.flags & (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED):
            what = "is locked" if token.flags & TokenFlag.USER_PIN_LOCKED else "would lock at one more wrong PIN"
            raise PinRefused(f"the token {self._label!r} {what}; log in, or unlock it, with its own tool")
        try:
            session: pkcs11.Session = token.open(rw=True, user_pin=self._pin)
            return session
        except trouble.UserAlreadyLoggedIn:  # by another session of this process
            again: pkcs11.Session = token.open(rw=True)
            return again
        except (trouble.PinIncorrect, trouble.PinInvalid, trouble.PinLenRange, trouble.PinLocked, trouble.PinExpired):
            self._refused_file.unlink(missing_ok=True)
            write_new_secret(self._refused_file, mark)
            raise self._refused() from None

    def _found(self) -> Any:
        """The token. One that went away, or came after the library began, is seen by one that begins anew."""
        if self._before:
            self._library.reinitialize()
        self._before = True
        try:
            return self._library.get_token(token_label=self._label)
        except trouble.PKCS11Error:
            self._library.reinitialize()
        try:
            return self._library.get_token(token_label=self._label)
        except (trouble.NoSuchToken, trouble.TokenNotPresent):
            what = f"there is no token {self._label!r}"
            raise ConfigError(f"{what}; plug it in, or see keys.token and keys.module") from None

    def _refuse_again(self, mark: bytes) -> None:
        if not self._refused_file.exists():
            return
        if hmac.compare_digest(read_private(self._refused_file, "refused PIN"), mark):
            raise self._refused()
        self._refused_file.unlink(missing_ok=True)

    def _refused(self) -> PinRefused:
        return PinRefused(
            f"the token {self._label!r} refused its PIN, which posd never tries again, because tokens lock; "
            f"correct {self._pin_file}, and start posd again"
        )


def _pin(path: Path) -> str:
    text = read_private(path, "token PIN").strip()
    if not text or not all(0x20 <= byte <= 0x7E for byte in text):
        raise ConfigError(f"token PIN: {path}: write the PIN as visible characters, and nothing else")
    return text.decode("ascii")
