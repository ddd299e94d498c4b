"""`posd doctor`: who may do what on this machine. It changes nothing."""

import grp
import os
import pwd
from collections.abc import Iterator

from posd.cli.doctor.machine import GOOD, NOTE, WARNING, Found
from posd.config.access import ROLES, id_of, unknown_names
from posd.settings import Settings


def roles(settings: Settings) -> Iterator[Found]:
    """Who may do what: names that are nobody's, people whom the socket keeps out, and a till's door on a network."""
    found = [
        Found("access", WARNING, "access_unknown", {"one": one, "role": place[1]})
        for place, one in unknown_names(settings)
    ]
    found += _kept_out(settings)
    till = settings.till.socket
    everybody = any(one.kind == "socket" for one in settings.access.approve)
    if till is not None and till.parent == settings.control_socket.parent and everybody:
        found.append(Found("access", WARNING, "till_approves", {"socket": till}))
    if settings.till.on_network:
        found.append(Found("access", WARNING, "till_open", {"listen": settings.till.listen}))
    if not found and "access" not in settings.model_fields_set:
        found.append(Found("access", NOTE, "access_unset"))
    yield from found or [Found("access", GOOD, "access_good")]


def _kept_out(settings: Settings) -> Iterator[Found]:
    """Users with a role who are not of the socket's group (0660): they are refused before anybody asks who they are."""
    try:
        status = settings.control_socket.stat()
    except OSError:
        return  # posd is not up, or this user may not look
    granted = {one for role in ROLES for one in getattr(settings.access, role) if one.kind == "user"}
    for one in sorted(granted, key=str):
        uid = id_of(one)
        if uid in (None, 0, status.st_uid):
            continue
        try:
            account = pwd.getpwuid(int(str(uid)))
        except KeyError:
            continue  # said already
        if status.st_gid not in os.getgrouplist(account.pw_name, account.pw_gid):
            group = _group(status.st_gid)
            yield Found("access", WARNING, "access_kept_out", {"user": account.pw_name, "group": group})


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"{gid}"
