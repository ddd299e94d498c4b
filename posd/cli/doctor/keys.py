"""`posd doctor`: the keys: whose their files are, how old, what is not meant to stay. It logs in to no token."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from posd.cli.doctor.machine import ALERT, GOOD, NOTE, WARNING, Found
from posd.config.keyhome import sealed_folder
from posd.config.machine import check_environment
from posd.daemon.clock import SystemClock
from posd.errors import PosdError
from posd.security.machine import LAST, NEXT
from posd.security.sealedkeys import SUFFIX, read_sealed
from posd.settings import Settings
from posd.yamlmarks import Document

DAY_MS = 24 * 3600 * 1000
OF_KEYS = ("_key_file", "tmk_file", "token_file", "till.tokens", "pin_file", "keys.module", ".tid")
"""Settings that a finding about a key stands at; a TMK that is missing stands at its terminal."""

MACHINE_KEY_DAYS, TMK_DAYS = 365, 3 * 365
"""After so long a note: how often keys change is the acquirer's to say, and the shop's."""


def keys_and_folders(settings: Settings, document: Document, service_user: str) -> Iterator[Found]:
    """That keys open, that they are nobody else's, and what else of the settings this machine lacks."""
    files = secret_files(settings)
    if os.geteuid() != 0 and any(not os.access(file, os.R_OK) for file in files):
        yield Found("keys", NOTE, "keys_unseen")
        return
    problems = check_environment(settings, document)
    of_keys = [problem for problem in problems if problem.path.endswith(OF_KEYS)]
    of_owners = [found for file in files if (found := _owner(file, service_user)) is not None]
    for problem in of_keys:
        yield Found("keys", ALERT, "key_bad", {"why": problem.what, "remedy": problem.hint})
    yield from of_owners
    if not of_keys and not of_owners:
        yield Found("keys", GOOD, "keys_good", {"count": len(files)})
    yield from worth_knowing(settings)
    others = [problem for problem in problems if problem not in of_keys]
    for problem in others:
        yield Found("machine", ALERT, "machine_bad", {"why": problem.what, "remedy": problem.hint})
    if not others:
        yield Found("machine", GOOD, "machine_good")


def _owner(file: Path, service_user: str) -> Found | None:
    """Whoever owns a key can replace it: root, the service, or who runs posd without one."""
    try:
        uid = file.stat().st_uid
    except OSError:
        return None  # said already
    name = _name(uid)
    if uid in (0, os.geteuid()) or name == service_user:
        return None
    return Found("keys", ALERT, "key_of_another", {"file": file, "owner": name})


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def secret_files(settings: Settings) -> list[Path]:
    """Every file that holds a secret, sealed or not."""
    plain = [terminal.tmk_file for terminal in settings.terminals]
    tokens = [file for _, file, _ in settings.till.every_token]
    named = (settings.machine_key_file, *plain, settings.keys.pin_file, *tokens)
    return [file for file in named if file is not None] + sealed_files(settings)


def sealed_files(settings: Settings) -> list[Path]:
    """The TMKs; none where this user may not look."""
    try:
        return sorted(sealed_folder(settings).glob(f"*{SUFFIX}"))
    except OSError:
        return []


def worth_knowing(settings: Settings) -> Iterator[Found]:
    """What is not wrong, and not for ever."""
    for terminal in settings.terminals:
        if terminal.tmk_file is not None:
            yield Found("keys", NOTE, "key_plain", {"tid": terminal.tid, "file": terminal.tmk_file})
    path = settings.machine_key_file
    if any(path.with_name(path.name + part).exists() for part in (NEXT, LAST)):
        yield Found("keys", WARNING, "rotation_unfinished", {"file": path})
    now_ms = SystemClock().now().wall_ms
    if path.exists() and (days := int(now_ms - path.stat().st_mtime * 1000) // DAY_MS) > MACHINE_KEY_DAYS:
        yield Found("keys", NOTE, "machine_key_old", {"days": days})
    for file in sealed_files(settings):
        try:
            said, _ = read_sealed(file)
        except (PosdError, OSError):
            continue  # said already
        if (days := (now_ms - int(said.get("at_ms", now_ms))) // DAY_MS) > TMK_DAYS:
            yield Found(
                "keys", NOTE, "tmk_old", {"tid": said.get("tid", ""), "index": said.get("index", 0), "days": days}
            )
