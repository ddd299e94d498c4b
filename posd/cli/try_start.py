"""What the start would refuse, tried without harm: ports, the service user's rights, room for the ballast, the journal.

A port is bound for a moment and never listened on; nothing is written, nothing is connected to but our own control
socket. What `posd run` finds out by itself is not tried again by it.
"""

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES
from pathlib import Path
from typing import Any

from posd.addresses import Address, SerialAddress, TlsAddress
from posd.cli.asking import open_journal
from posd.core.payload import FOLD_VERSION
from posd.core.station import STATION
from posd.daemon.control.server import ControlFailed, NoDaemon, call
from posd.daemon.doors.terminal_door import BIND_HINT_OTHER, BIND_HINTS
from posd.daemon.shown.offline import journal_folder
from posd.errors import ConfigError, PosdError
from posd.journal.anchor import ANCHOR_FILE
from posd.journal.chain import Chain
from posd.journal.connect import JOURNAL_FILE, open_reader, read_identity
from posd.journal.reader import JournalReader
from posd.journal.verify import require_key
from posd.security.machine import load_machine_key
from posd.settings import Settings
from posd.settings.types import CREDENTIAL
from posd.yamlmarks import Document, Place, Problem

Found = tuple[Place, str, str]
"""Where, what, and what to do."""


# --- the user of the service ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """Whom posd will run as. `guessed`: by who owns its files, because root asks."""

    uid: int
    name: str
    groups: frozenset[int]
    guessed: bool


def service_user(settings: Settings) -> User:
    """Who asks; where that is root, the owner of the machine key, or, where the service only gets a copy of it, of the
    state folder."""
    uid = os.geteuid()
    of_root = uid == 0
    for path in (settings.machine_key_file, settings.state_dir):
        with suppress(OSError):
            uid = uid or path.stat().st_uid
    guessed = of_root and uid != 0
    try:
        known = pwd.getpwuid(uid)
        groups = frozenset(os.getgrouplist(known.pw_name, known.pw_gid))
        return User(uid, known.pw_name, groups, guessed)
    except KeyError:
        return User(uid, f"user id {uid}", frozenset(), guessed)


def _rights(settings: Settings, user: User, document: Document) -> Iterator[Found]:
    """Only where root asks for somebody else: for the one who asks, the kernel has answered already."""
    if not user.guessed:
        return
    for place, file in _read_at_the_start(settings):
        if file is None or not file.exists() or _is_credential(document, place):
            continue
        if not _may(file.parent, user, os.X_OK):
            hint = "put it into a folder that this user may enter, or give it as a credential: credential:keys_NAME"
            yield place, f"{file.parent} is closed to {user.name}, the service's user", hint
        elif not _may(file, user, os.R_OK):
            yield place, f"{file} cannot be read by {user.name}, the service's user", f"run: chown {user.name} {file}"
    config = Path(document.file)
    if not _may(config, user, os.R_OK):
        yield (), f"{config} cannot be read by {user.name}, the service's user", f"run: chmod 644 {config}"
    folders: list[tuple[Place, Path]] = [(("state_dir",), settings.state_dir)]
    folders.append((("control_socket",), settings.control_socket.parent))
    if settings.till.socket is not None:
        folders.append((("till", "socket"), settings.till.socket.parent))
    for place, folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing == folder and not _may(folder, user, os.W_OK | os.X_OK):
            hint = f"run: chown {user.name} {folder}"
            yield place, f"{folder} cannot be written to by {user.name}, the service's user", hint


def _read_at_the_start(settings: Settings) -> Iterator[tuple[Place, Path | None]]:
    """Every file without which posd does not start, with its setting."""
    yield ("machine_key_file",), settings.machine_key_file
    yield ("host", "profile_file"), settings.host.profile_file
    yield ("keys", "pin_file"), settings.keys.pin_file
    for number, terminal in enumerate(settings.terminals):
        yield ("terminals", number, "tmk_file"), terminal.tmk_file
    yield ("till", "token_file"), settings.till.token_file
    for number, token in enumerate(settings.till.tokens):
        yield ("till", "tokens", number, "file"), token.file
    for name in ("certificate_file", "key_file", "client_ca_file"):
        yield ("door", "tls", name), getattr(settings.door.tls, name)
    for number, route in enumerate(settings.host.every_route()):
        at: Place = ("host", "routes", number) if settings.host.routes else ("host",)
        for name in ("ca_file", "certificate_file", "key_file") if route.encrypted else ():
            yield (*at, "tls", name), getattr(route.tls, name)


def _is_credential(document: Document, place: Place) -> bool:
    """Whether it is written there as one: root's file, of which the service gets a copy."""
    value: Any = document.value
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return str(value).startswith(CREDENTIAL)


def _may(path: Path, user: User, wanted: int) -> bool:
    """By owner, group and others, as the kernel would say without capabilities; ACLs are not looked at."""
    status = path.stat()
    shift = 6 if status.st_uid == user.uid else 3 if status.st_gid in user.groups else 0
    return status.st_mode >> shift & wanted == wanted


def start_problems(settings: Settings, document: Document) -> list[Problem]:
    """What would keep posd from starting here as things are now."""
    user = service_user(settings)
    found = [
        *_ports(settings, user),
        *_rights(settings, user, document),
        *_ballast(settings),
        *_journal(settings),
    ]
    return [document.problem(*one) for one in found]


# --- ports -----------------------------------------------------------------------------------------------------------


def _ports(settings: Settings, user: User) -> Iterator[Found]:
    wanted: list[tuple[Place, Address, str]] = []
    for number, listen in enumerate(settings.door.listen):
        if not isinstance(listen, SerialAddress):
            several = len(settings.door.listen) > 1
            tcp = listen.tcp if isinstance(listen, TlsAddress) else listen
            wanted.append((("door", "listen", number) if several else ("door", "listen"), tcp, str(listen)))
    if settings.till.listen is not None:
        wanted.append((("till", "listen"), settings.till.listen, str(settings.till.listen)))
    ours: set[str] | None = None
    for place, address, shown in wanted:
        if user.guessed and 0 < address.port < _first_free_port():
            yield place, f"{address} cannot be listened on by {user.name}, the service's user", BIND_HINTS[EACCES]
            continue
        error = _bind(address)
        if error is None:
            continue
        ours = _held_by_posd(settings) if ours is None else ours
        if shown in ours:
            continue  # this very posd runs already
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        hint = BIND_HINTS.get(error.errno or 0, BIND_HINT_OTHER)
        yield place, f"{address} cannot be listened on: {why.lower()}", hint


def _first_free_port() -> int:
    """The first port that needs no privilege."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _bind(address: Address) -> OSError | None:
    """Why the address cannot be had; as the start would ask for it."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return error
    return None


def _held_by_posd(settings: Settings) -> set[str]:
    """The doors of the posd that answers on our control socket; empty: none does."""
    with suppress(NoDaemon, ControlFailed, PosdError):
        said = call(settings.control_socket, "status", {})
        return {str(door["where"]) for door in said["posd"].get("doors", ())}
    return set()


# --- disk and journal -------------------------------------------------------------------------------------------------


def _ballast(settings: Settings) -> Iterator[Found]:
    """A ballast, or a floor, that the whole disk cannot hold (D32): it would never be held, or nothing ever sold."""
    folder = next(parent for parent in (settings.state_dir, *settings.state_dir.parents) if parent.exists())
    status = os.statvfs(folder)
    whole = status.f_blocks * status.f_frsize
    journal = settings.journal
    if journal.free_bytes_min >= whole:
        what = f"{journal.free_bytes_min} bytes shall stay free, but the disk of {folder} has {whole} in all"
        yield ("journal", "free_bytes_min"), what, "new sales would always be refused: lower it"
    elif journal.ballast_bytes + journal.free_bytes_min > whole:
        what = f"{journal.ballast_bytes} bytes and free_bytes_min do not fit the disk of {folder}, which has {whole}"
        yield ("journal", "ballast_bytes"), what, "lower it: owed reversals would have no room when the disk is full"


def _journal(settings: Settings) -> Iterator[Found]:
    """A journal that is there must be ours, whole at its beginning, and of this machine key."""
    file = journal_folder(settings) / JOURNAL_FILE
    try:
        key = load_machine_key(settings.machine_key_file)
    except ConfigError:
        return  # said already
    try:
        if not journal_folder(settings).is_dir() or not any(journal_folder(settings).iterdir()):
            return  # the first start makes it
        connection = open_reader(file)
        try:
            if not file.with_name(ANCHOR_FILE).exists():
                what = f"{file.with_name(ANCHOR_FILE)}: the anchor of the journal is missing"
                yield ("state_dir",), what, "restore it with its journal"
            require_key(connection, Chain(key.derive("chain")), read_identity(connection))
        finally:
            connection.close()
        yield from _segments(settings, Chain(key.derive("chain")))
        yield from _forgotten(settings)
    except PosdError as error:
        what, _, hint = str(error).partition("; ")
        yield ("state_dir",), what, hint
    except PermissionError:
        yield ("state_dir",), f"{file.parent} cannot be read", "check as the user that runs posd, or as root"


def _segments(settings: Settings, chain: Chain) -> Iterator[Found]:
    """D33: a posd that folds otherwise than the one before it has to fold everything once more, archived months too."""
    with JournalReader(journal_folder(settings)) as reader:
        gone = [placed for placed in reader.archived() if not placed.is_here]
        if not gone:
            return
        for tid in reader.tids():
            if tid != STATION and reader.snapshot(tid, FOLD_VERSION, chain) is None:
                what = f"the state of terminal {tid} has to be folded anew, and {gone[0].path.name} is not here"
                yield ("state_dir",), what, f"put the segments back into {gone[0].path.parent} for the next start"
                return


def _forgotten(settings: Settings) -> Iterator[Found]:
    """D35: a terminal cannot be configured away while it owes."""
    with open_journal(settings) as journal:
        for tid, why in journal.forgotten():
            hint = "put it back, settle it (posd settle), then remove it"
            yield ("terminals",), f"terminal {tid} is not in the configuration any more, but {why}", hint
