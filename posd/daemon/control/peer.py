"""Who is at the other end of a Unix socket: user and groups as the kernel vouches for them, never what was typed.

They are those of the process when it connected. A user of another user namespace (a container) shows as the kernel's
overflow id: that is nobody, and nobody has no right.
"""

import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from posd.values import NOBODY_KNOWN, Who

CREDENTIALS = struct.Struct("iII")
UNSET = 2**32 - 1
SO_PEERGROUPS = 59
"""Linux's number of it (asm-generic/socket.h); Python has no name for it."""
GROUPS_MAX = 256
"""As long a list as Python lets the kernel give; who is in more has them looked up by name."""
OVERFLOW = 65534


@dataclass(frozen=True, slots=True)
class Peer:
    """The user and all groups of a process; `uid` None: nobody that this machine knows."""

    uid: int | None
    gids: frozenset[int] = frozenset()


NOBODY = Peer(None)


def peer_of(connection: socket.socket) -> Peer:
    """Of a connected Unix socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, gid = CREDENTIALS.unpack(raw)
    if uid in (UNSET, overflow("uid")):
        return NOBODY
    return Peer(uid, frozenset({gid, *_groups(connection, uid, gid)}) - {overflow("gid")})


def _groups(connection: socket.socket, uid: int, gid: int) -> Iterable[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * GROUPS_MAX)
    except OSError:  # too many for a list, or a kernel without it
        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


def overflow(kind: str) -> int:
    """The id under which the kernel shows users, or groups, of other namespaces."""
    try:
        return int(Path(f"/proc/sys/kernel/overflow{kind}").read_text())
    except (OSError, ValueError):
        return OVERFLOW


def this_user() -> Who:
    """Whoever runs this process, as `who_is`: for what is done beside a stopped daemon."""
    return who_is(Peer(os.geteuid()))


def who_is(peer: Peer) -> Who:
    """The same with the user's name. May wait for a directory service."""
    if peer.uid is None:
        return NOBODY_KNOWN
    try:
        return Who(peer.uid, pwd.getpwuid(peer.uid).pw_name)
    except KeyError:
        return Who(peer.uid)
