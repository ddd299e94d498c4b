"""Where the settings say that TMKs live, what a terminal needs of it, and what contradicts."""

import os
from pathlib import Path

from posd.addresses import Address, HttpAddress, SerialAddress, TlsAddress
from posd.dialects import NAC
from posd.errors import ConfigError
from posd.security.keys import DES, NO_TMK, SM4, SM4_SIGN_IN, KeyCipher, Tmk
from posd.security.keystore import KeyStore
from posd.security.machine import MachineKey
from posd.security.plainkeys import load_tmk
from posd.security.sealedkeys import PURPOSE, SealedKeys
from posd.security.wrapping import Wrapping
from posd.settings import Settings, TerminalSettings
from posd.yamlmarks import Document, Place, Problem

TMK_FOLDER = "tmk"
"""Below the state folder: the sealed TMKs, beside the journal and outside of it."""

NO_MAC = "none"
PSEUDO_TERMINALS = "/dev/pts/"


def key_store(settings: Settings, machine_key: MachineKey, *earlier: MachineKey) -> KeyStore:
    """The home of the TMKs. Raises ConfigError where a token cannot be used."""
    if settings.keys.home == "pkcs11":
        return _token(settings, machine_key)
    return SealedKeys(settings.state_dir / TMK_FOLDER, Wrapping(PURPOSE, machine_key, *earlier))


def _token(settings: Settings, machine_key: MachineKey) -> KeyStore:
    try:
        from posd.security.tokenlogin import open_token  # an extra, and only for those who have a token
    except ImportError:
        raise ConfigError("keys.home: pkcs11 needs python-pkcs11; run: pip install 'posd[pkcs11]'") from None
    keys = settings.keys
    assert keys.module is not None
    assert keys.pin_file is not None
    return open_token(keys.module, keys.token, keys.pin_file, keys.wait_max_s, settings.state_dir, machine_key)


def tmk_of(settings: Settings, terminal: TerminalSettings, store: KeyStore) -> Tmk:
    """The TMK of a terminal, from wherever it lives. Raises ConfigError, KeyTrouble."""
    if terminal.tmk_file is not None:
        if trouble := plain_keys_trouble(settings):
            raise ConfigError(f"terminal {terminal.tid}: tmk_file {trouble[0]}; {trouble[1]}")
        return load_tmk(terminal.tmk_file, terminal.tid, cipher_of(settings))
    return store.open(terminal.tid, terminal.tmk_index) if needs_tmk(settings) else NO_TMK


def needs_tmk(settings: Settings) -> bool:
    """Anything is signed, or unwrapped, with a terminal's key."""
    return not (settings.host.profile == NAC and settings.host.mac_algorithm == NO_MAC)


def signs_itself(settings: Settings) -> bool:
    """Whether the TMK is the key of the MAC, because there are no working keys."""
    return settings.host.profile == NAC


def cipher_of(settings: Settings) -> KeyCipher:
    """What kind of key the TMKs are."""
    return SM4 if settings.host.profile != NAC and settings.host.sign_in == SM4_SIGN_IN else DES


def plain_keys_trouble(settings: Settings) -> tuple[str, str] | None:
    """A TMK in the clear is for tests: only where every host is on this machine, as a simulator is.

    What is wrong, and the remedy; None: nothing. A serial line counts as here if it is a pseudo-terminal.
    """
    elsewhere = [str(route.address) for route in settings.host.every_route() if not _is_here(route.address)]
    if not elsewhere:
        return None
    what = f"holds a key in the clear, which is for a test host on this machine; {elsewhere[0]} is not on it"
    return what, "remove tmk_file and run: posd keys load"


def _is_here(address: object) -> bool:
    match address:
        case SerialAddress(device=device):
            return os.path.realpath(device).startswith(PSEUDO_TERMINALS)
        case Address():
            return address.is_loopback
        case TlsAddress() | HttpAddress():
            return Address(address.host, address.port).is_loopback
        case _:
            return False


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    return [*_plain(settings, document), *_token_settings(settings, document)]


def _plain(settings: Settings, document: Document) -> list[Problem]:
    problems = []
    trouble = plain_keys_trouble(settings)
    for number, terminal in enumerate(settings.terminals):
        if terminal.tmk_file is None:
            continue
        place: Place = ("terminals", number, "tmk_file")
        if trouble is not None:
            problems.append(document.problem(place, trouble[0], f"{trouble[1]} --tid {terminal.tid}"))
        if terminal.tmk_index:
            what = f"is the only key of its terminal, but {document.place(('terminals', number, 'tmk_index'))} wants "
            problems.append(document.problem(place, f"{what}another", "remove one of both"))
    return problems


def _token_settings(settings: Settings, document: Document) -> list[Problem]:
    keys = settings.keys
    if keys.home == "pkcs11":
        if settings.host.profile != NAC and settings.host.sign_in == SM4_SIGN_IN:
            what = "posd uses DES keys in tokens only, but host.sign_in brings SM4 keys"
            return [document.problem(("keys", "home"), what, "write home: sealed")]
        missing = [name for name in ("module", "token", "pin_file") if not getattr(keys, name)]
        return [
            document.problem(("keys", name), "is missing, and home: pkcs11 needs it", "see the example")
            for name in missing
        ]
    given = [name for name in ("module", "token", "pin_file") if getattr(keys, name)]
    what = "is for home: pkcs11, but home is sealed"
    return [document.problem(("keys", name), what, "remove it, or write home: pkcs11") for name in given]


def sealed_folder(settings: Settings) -> Path:
    """Where sealed TMKs are."""
    return settings.state_dir / TMK_FOLDER
