"""The settings against the machine that they are to run on: key files, certificates, folders, serial devices.

Changes nothing on disk, and opens no port: whether one is taken shows only at the start.
"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from posd.addresses import SerialAddress
from posd.config.keyhome import cipher_of, key_store, needs_tmk, signs_itself
from posd.errors import ConfigError, KeyTrouble, PosdError
from posd.security.keys import Tmk
from posd.security.keystore import KeyStore
from posd.security.mac import ALGORITHMS
from posd.security.machine import MachineKey, load_machine_keys
from posd.security.plainkeys import load_tmk
from posd.security.secretfile import read_private
from posd.security.token import load_tokens
from posd.settings import KeySettings, Settings, TerminalSettings
from posd.yamlmarks import Document, Place, Problem, shown_path


def check_environment(settings: Settings, document: Document | None = None) -> list[Problem]:
    """What this machine lacks: key files, folders. Empty when posd could start (a used port shows only then).

    `document` gives the findings their lines. Changes nothing; a folder that can be made is no problem.
    """
    found: list[tuple[Place, str, str]] = []
    machine_keys: tuple[MachineKey, ...] = ()
    try:
        machine_keys = load_machine_keys(settings.machine_key_file)
    except ConfigError as error:
        found.append((("machine_key_file",), *_parts(error)))
    found += _certificate_trouble(settings)
    found += _key_troubles(settings, machine_keys)
    found += [(("state_dir",), *problem) for problem in _folder_problem(settings.state_dir)]
    found += [(("control_socket",), *problem) for problem in _folder_problem(settings.control_socket.parent)]
    if settings.till.socket is not None:
        found += [(("till", "socket"), *problem) for problem in _folder_problem(settings.till.socket.parent)]
    try:
        load_tokens(settings.till.every_token)
    except ConfigError as error:
        found.append((("till", "tokens" if settings.till.tokens else "token_file"), *_parts(error)))
    found += _device_problems(settings)
    if document is None:
        return [Problem("", 0, 0, shown_path(place), what, hint) for place, what, hint in found]
    return [document.problem(place, what, hint) for place, what, hint in found]


def _parts(error: PosdError) -> tuple[str, str]:
    """What is wrong, and what to do."""
    what, _, hint = str(error).partition("; ")
    return what, hint


def _key_troubles(settings: Settings, machine_keys: tuple[MachineKey, ...]) -> Iterator[tuple[Place, str, str]]:
    """TMKs that are missing, cannot be read, or are not of the length that the MAC wants.

    A token is not logged in to: each wrong PIN brings it nearer to its end.
    """
    host = settings.host
    own_mac = signs_itself(settings) and needs_tmk(settings)
    in_token = settings.keys.home == "pkcs11"
    if in_token:
        yield from _token_troubles(settings.keys)
    store = key_store(settings, *machine_keys) if machine_keys and not in_token else None
    for number, terminal in enumerate(settings.terminals):
        place: Place = ("terminals", number, "tid" if terminal.tmk_file is None else "tmk_file")
        try:
            tmk = _tmk(settings, terminal, store)
        except (ConfigError, KeyTrouble) as error:
            yield place, *_parts(error)
            continue
        if own_mac and tmk is not None and tmk.length not in ALGORITHMS[host.mac_algorithm].key_bytes:
            wanted = " or ".join(str(2 * length) for length in ALGORITHMS[host.mac_algorithm].key_bytes)
            yield place, f"{host.mac_algorithm} wants a key of {wanted} hexadecimal digits", "ask the acquirer"


def _tmk(settings: Settings, terminal: TerminalSettings, store: KeyStore | None) -> Tmk | None:
    """None: it is not looked at here, or not needed. Raises ConfigError, KeyTrouble."""
    if terminal.tmk_file is not None:
        return load_tmk(terminal.tmk_file, terminal.tid, cipher_of(settings))
    return store.open(terminal.tid, terminal.tmk_index) if store is not None and needs_tmk(settings) else None


def _token_troubles(keys: KeySettings) -> Iterator[tuple[Place, str, str]]:
    if keys.module is not None and not keys.module.is_file():
        yield ("keys", "module"), f"{keys.module} is not there", "give the path of the token's PKCS#11 library"
    if keys.pin_file is not None:
        try:
            read_private(keys.pin_file, "token PIN")
        except ConfigError as error:
            yield ("keys", "pin_file"), *_parts(error)


def _certificate_trouble(settings: Settings) -> Iterator[tuple[Place, str, str]]:
    for number, route in enumerate(settings.host.every_route()):
        if not route.encrypted:
            continue
        from posd.transport.tls import client_context  # not for those who use none

        tls = route.tls
        try:
            client_context(tls.ca_file, tls.certificate_file, tls.key_file)
        except ConfigError as error:
            at: Place = ("host", "routes", number) if settings.host.routes else ("host",)
            yield (*at, "tls"), *_parts(error)
    door = settings.door.tls
    if door.certificate_file is not None and door.key_file is not None:
        from posd.transport.tls import server_context

        try:
            server_context(door.certificate_file, door.key_file, door.client_ca_file)
        except ConfigError as error:
            yield ("door", "tls"), *_parts(error)


def _device_problems(settings: Settings) -> Iterator[tuple[Place, str, str]]:
    addresses: list[tuple[Place, object]] = [(("door", "listen"), address) for address in settings.door.listen]
    for number, route in enumerate(settings.host.every_route()):
        addresses.append((("host", "routes", number, "address") if route.name else ("host", "address"), route.address))
    for place, address in addresses:
        for what, hint in device_problem(address):
            yield place, what, hint


def device_problem(address: object) -> list[tuple[str, str]]:
    """A device that is not there may be plugged in later; one that can never be used is said now."""
    if not isinstance(address, SerialAddress) or not os.path.exists(address.device):
        return []
    if not Path(address.device).is_char_device():
        return [(f"{address.device} is no serial port", "give the path of one, as /dev/ttyUSB0")]
    if os.access(address.device, os.R_OK | os.W_OK):
        return []
    what = f"{address.device} cannot be used by user id {os.geteuid()}"
    return [(what, "run: usermod -aG dialout posd, and start posd again")]


def _folder_problem(folder: Path) -> list[tuple[str, str]]:
    user = _user()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        return [(f"{existing} is a file, not a folder", "give another path, or move the file away")]
    if not os.access(existing, os.W_OK | os.X_OK):
        done = "written to" if existing == folder else "made"
        give = f"chown {user} {folder}" if existing == folder else f"install -d -m 700 -o {user} {folder}"
        return [(f"{folder} cannot be {done} by user {user}", f"as root: {give}; or give a folder of your own")]
    return []


def _user() -> str:
    """Who asks, by name where there is one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
