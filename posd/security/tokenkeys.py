"""TMKs in a PKCS#11 token: they never leave it, and what is done with them and with working keys is done inside.

A TMK is a private, sensitive object that cannot be extracted. A sign-in's working keys become session objects:
unwrapped inside, where the token unwraps with 3DES in ECB mode; where it does not (SoftHSM2 does not), the token
decrypts them, and MAK and TDK pass through this process's memory for a moment on their way back in. The PIN key is not
even decrypted (D27), and a TMK is in posd's memory only while it is loaded.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, Mechanism
from pkcs11 import exceptions as trouble

from posd.errors import ConfigError, KeyOutOfReach, KeyTrouble
from posd.security.cipherkey import CipherKey
from posd.security.des import BLOCK_BYTES, KEY_BYTES_SINGLE
from posd.security.keys import Layout, Tmk, WorkingKeys
from posd.security.keystore import KeyInfo, NewTmk, NoSuchKey, exists_already
from posd.security.machine import MachineKey
from posd.security.rewrapped import Rewrapped
from posd.security.tokenobjects import (
    LEFT,
    Noted,
    check_value_of,
    found,
    info_of,
    keys,
    label_of,
    note,
    noted,
    notes,
    passing,
    permanent,
    the,
    unwrapped,
)
from posd.security.tokenthread import TokenThread

HOME = "pkcs11"
MANAGING_MAX_S = 30.0
"""Listing, adding and removing: a person waits, the loop does not."""

CANNOT_UNWRAP = (
    trouble.MechanismInvalid,
    trouble.MechanismParamInvalid,
    trouble.FunctionNotSupported,
    trouble.WrappedKeyInvalid,
    trouble.KeyTypeInconsistent,
    trouble.TemplateInconsistent,
)
OF_THE_REQUEST = (*CANNOT_UNWRAP, trouble.DataLenRange, trouble.AttributeValueInvalid, trouble.AttributeTypeInvalid)
"""What says nothing against the connection."""

Result = TypeVar("Result")


class PinRefused(ConfigError):
    """The token does not take this PIN."""


class TokenKeys:
    """The token's TMKs. `connect` gives a session that is logged in; it is called again when the token went away."""

    home = HOME

    def __init__(self, name: str, connect: Callable[[], pkcs11.Session], thread: TokenThread) -> None:
        self._name, self._connect, self._thread = name, connect, thread
        self._session: pkcs11.Session | None = None
        self._opened: list[TokenTmk] = []
        self._unwraps: bool | None = None
        self._has_cbc = False
        self.because = ""
        """Why the token is out of reach; empty: it is not."""
        self.refused = ""
        """Why it will stay so until somebody mends it and starts posd again."""

    def reconnect(self) -> None:
        """Log in, for the first time or again; it has its own time. Raises ConfigError, KeyOutOfReach."""
        if self.refused:
            raise KeyOutOfReach(self.refused)
        try:
            self._session = self._thread.ask(self._connected, MANAGING_MAX_S)
        except PinRefused as error:
            self.refused = self.because = str(error)
            raise
        except trouble.PKCS11Error as error:
            self.because = self._said(error)
            raise KeyOutOfReach(self.because) from None
        self.because = ""

    def _connected(self) -> pkcs11.Session:
        session = self._connect()
        known = session.token.slot.get_mechanisms()
        if Mechanism.DES3_ECB not in known:
            raise ConfigError(f"{self._name} cannot do 3DES (CKM_DES3_ECB), which the terminals' keys are for")
        self._has_cbc, self._unwraps = Mechanism.DES3_CBC in known, None
        return session

    def look(self) -> bool:
        """Whether the token is there, asked of itself; a person's verb or a timer calls this, not the loop."""
        try:
            if self._session is None:
                self.reconnect()
            else:
                self.do(lambda session: session.generate_random(64), MANAGING_MAX_S)
        except (KeyOutOfReach, ConfigError):
            return False
        return True

    def do(self, work: Callable[[pkcs11.Session], Result], wait_max_s: float | None = None) -> Result:
        """`work` with the session, in the token's thread. Raises KeyOutOfReach, and what `work` raises of its own."""
        session = self._session
        if session is None:
            raise KeyOutOfReach(self.because or f"{self._name} is out of reach")
        try:
            return self._thread.ask(lambda: work(session), wait_max_s)
        except OF_THE_REQUEST as error:
            raise KeyTrouble(f"{self._said(error)}: it does not do this with its keys") from None
        except trouble.PKCS11Error as error:
            self._lost(self._said(error))
            raise KeyOutOfReach(self.because) from None
        except KeyOutOfReach as error:
            self._lost(f"{self._name}: {error}")
            raise KeyOutOfReach(self.because) from None

    def _lost(self, because: str) -> None:
        """Session objects die with their session: what was unwrapped is unwrapped anew when the token is back."""
        self._session, self.because = None, because
        for tmk in self._opened:
            tmk.forget_unwrapped()

    def _said(self, error: trouble.PKCS11Error) -> str:
        return f"{self._name}: {re.sub('(?<!^)(?=[A-Z])', ' ', type(error).__name__).lower()}"

    # --- the store -----------------------------------------------------------------------------------------------

    def list(self) -> Sequence[KeyInfo]:
        return self.do(lambda session: [info_of(session, key, self.home) for key in keys(session)], MANAGING_MAX_S)

    def open(self, tid: str, index: int) -> Tmk:
        label = label_of(tid, index)
        if not self.do(lambda session: found(session, label), MANAGING_MAX_S):
            raise NoSuchKey(tid, index)
        tmk = TokenTmk(self, label, self.do(lambda session: noted(session, label).length, MANAGING_MAX_S))
        self._opened.append(tmk)
        return tmk

    def add(self, new: NewTmk) -> KeyInfo:
        info, label = new.info(self.home), label_of(new.tid, new.index)
        said = Noted(info.cipher, info.by, info.at_ms, len(new.key))

        def create(session: pkcs11.Session) -> None:
            if found(session, label):
                raise exists_already(new.tid, new.index)
            for left in notes(session, label):
                left.destroy()  # of a load that was cut off before its key
            session.create_object(note(label, said))
            if new.signs:
                half = new.key[:KEY_BYTES_SINGLE]
                session.create_object(permanent(label + LEFT, half + half, unwraps=False))
            whole = new.key if len(new.key) > KEY_BYTES_SINGLE else new.key * 2
            session.create_object(permanent(label, whole, unwraps=not new.signs and self.unwraps(session)))

        self.do(create, MANAGING_MAX_S)
        return info

    def remove(self, tid: str, index: int) -> None:
        label = label_of(tid, index)

        def destroy(session: pkcs11.Session) -> None:
            if not (there := found(session, label)):
                raise NoSuchKey(tid, index)
            for one in (*there, *found(session, label + LEFT), *notes(session, label)):
                one.destroy()

        self.do(destroy, MANAGING_MAX_S)

    def rotate(self, new: MachineKey, old: MachineKey) -> Rewrapped:
        """A token's keys are under no machine key."""
        return Rewrapped()

    def close(self) -> None:
        """Log out; what is on its way to the token comes first."""
        with suppress(KeyTrouble):
            self.do(lambda session: session.close(), MANAGING_MAX_S)
        self._thread.end()

    # --- inside --------------------------------------------------------------------------------------------------

    def unwraps(self, session: pkcs11.Session) -> bool:
        """Whether keys can be unwrapped inside, tried out with a key of no worth: what tokens say of it is not true."""
        if self._unwraps is None:
            probe = session.create_object(passing(bytes(range(16)), unwraps=True))
            try:
                unwrapped(probe, bytes(range(16))).destroy()
                self._unwraps = True
            except CANNOT_UNWRAP:
                self._unwraps = False
            finally:
                probe.destroy()
        return self._unwraps

    def opened(self, label: str, wrapped: bytes) -> Any:
        """A session object: the key that `wrapped` is under a TMK. A single-length key is one of two equal halves."""
        blocks = wrapped if len(wrapped) > KEY_BYTES_SINGLE else wrapped * 2

        def inside(session: pkcs11.Session) -> Any:
            tmk = the(session, label)
            if tmk[Attribute.UNWRAP]:
                return unwrapped(tmk, blocks)
            return session.create_object(passing(tmk.decrypt(blocks, mechanism=Mechanism.DES3_ECB)))

        return self.do(inside)

    def last_block(self, key: Any, blocks: bytes) -> bytes:
        """In CBC mode from a zero vector, block by block where the token has no such mode."""

        def inside(_: pkcs11.Session) -> bytes:
            if self._has_cbc:
                zero = bytes(BLOCK_BYTES)
                done: bytes = key.encrypt(blocks, mechanism=Mechanism.DES3_CBC, mechanism_param=zero)
                return done[-BLOCK_BYTES:]
            last = bytes(BLOCK_BYTES)
            for at in range(0, len(blocks), BLOCK_BYTES):
                mixed = int.from_bytes(last, "big") ^ int.from_bytes(blocks[at : at + BLOCK_BYTES], "big")
                last = key.encrypt(mixed.to_bytes(BLOCK_BYTES, "big"), mechanism=Mechanism.DES3_ECB)
            return last

        return self.do(inside)


class TokenTmk(Tmk):
    """A TMK in a token, by its label."""

    __slots__ = ("_label", "_length", "_mac_key", "_token")

    def __init__(self, token: TokenKeys, label: str, length: int) -> None:
        super().__init__()
        self._token, self._label, self._length = token, label, length
        self._mac_key: TokenKey | None = None

    @property
    def length(self) -> int:
        return self._length

    @property
    def kcv(self) -> str:
        return self._token.do(lambda session: check_value_of(the(session, self._label)))

    def require_reach(self) -> None:
        if self._token.because:
            raise KeyOutOfReach(self._token.because)

    def as_mac_key(self) -> CipherKey | None:
        if self._mac_key is None:
            self._mac_key = self._own("", self._length, lambda: self._own(LEFT, KEY_BYTES_SINGLE, None))
        return self._mac_key

    def _own(self, part: str, length: int, left: "Callable[[], TokenKey] | None") -> "TokenKey":
        return TokenKey(self._token, self._token.do(lambda session: the(session, self._label + part)), length, left)

    def forget_unwrapped(self) -> None:
        super().forget_unwrapped()
        self._mac_key = None

    def _open(self, wrapped: bytes, layout: Layout) -> CipherKey:
        return self._key(wrapped)

    def _key(self, wrapped: bytes) -> "TokenKey":
        left = (lambda: self._key(wrapped[:KEY_BYTES_SINGLE])) if len(wrapped) > KEY_BYTES_SINGLE else None
        return TokenKey(self._token, self._token.opened(self._label, wrapped), len(wrapped), left)

    def _release(self, keys: WorkingKeys) -> None:
        for key in (keys.mak, keys.tdk):
            if isinstance(key, TokenKey):
                key.destroy()


class TokenKey:
    """A key inside the token. `left` opens its left half, which is then kept."""

    __slots__ = ("_key", "_left", "_left_key", "_length", "_token")

    def __init__(self, token: TokenKeys, key: Any, length: int, left: "Callable[[], TokenKey] | None") -> None:
        self._token, self._key, self._length, self._left = token, key, length, left
        self._left_key: TokenKey | None = None

    @property
    def length(self) -> int:
        return self._length

    def encrypt(self, blocks: bytes) -> bytes:
        return self._token.do(lambda _: bytes(self._key.encrypt(_whole(blocks), mechanism=Mechanism.DES3_ECB)))

    def decrypt(self, blocks: bytes) -> bytes:
        return self._token.do(lambda _: bytes(self._key.decrypt(_whole(blocks), mechanism=Mechanism.DES3_ECB)))

    def cbc_last_block(self, blocks: bytes) -> bytes:
        return self._token.last_block(self._key, _whole(blocks))

    def left_half(self) -> "TokenKey":
        if self._left is None:
            raise KeyTrouble("a single-length key has no halves")
        if self._left_key is None:
            self._left_key = self._left()
        return self._left_key

    def destroy(self) -> None:
        """The session object is not needed any more. One that cannot be destroyed dies with its session."""
        with suppress(KeyTrouble):
            self._token.do(lambda _: self._key.destroy())
        if self._left_key is not None:
            self._left_key.destroy()


def _whole(blocks: bytes) -> bytes:
    if len(blocks) % BLOCK_BYTES:
        raise ValueError(f"{len(blocks)} bytes are no whole blocks")
    return blocks
