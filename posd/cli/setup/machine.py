"""What `posd setup` does to a machine: a user, folders, key files, the configuration, the unit. Each step says whether
it had anything to do, so that a second run mends what is missing and changes nothing else.

It must never replace a key or a configuration, and never show a key: only its check value.
"""

import grp
import os
import pwd
import re
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posd.cli.keys.doing import do
from posd.cli.setup.config import Wishes, configuration
from posd.cli.setup.place import PACKAGED_UNITS, SHIPPED_PROGRAM, UNITS, Place
from posd.config import load, shipped
from posd.config.keyhome import needs_tmk, sealed_folder
from posd.daemon.shown.views import View
from posd.errors import ConfigError, PosdError
from posd.security.machine import create_machine_key
from posd.security.plainkeys import load_tmk
from posd.security.sealedkeys import sealed_path
from posd.security.secretfile import write_new_secret
from posd.settings import Settings

ROOT = 0
COMMAND_LIMIT_S = 100.0
TMK_DIGITS = (16, 32)
SETUP = "posd setup"
"""Who entered a TMK that was handed over whole."""


class StepFailed(PosdError):
    """A command of the system did not do what setup needs."""


def have_user(place: Place) -> bool:
    """The service's user and group. Whether they had to be made."""
    try:
        pwd.getpwnam(place.name)
        return False
    except KeyError:
        shell = "/usr/sbin/nologin"
        home = ("--home-dir", str(place.state), "--no-create-home", "--shell", shell)
        command("useradd", "--system", "--user-group", *home, place.name)
        return True


def have_folders(place: Place) -> bool:
    """Settings that only the service's group may read, keys that only root may, a journal of the service alone."""
    group = grp.getgrnam(place.name).gr_gid
    made = not place.keys.is_dir()
    user = pwd.getpwnam(place.name).pw_uid
    folders = ((place.etc, 0o750, ROOT, group), (place.keys, 0o700, ROOT, ROOT), (place.state, 0o700, user, group))
    for folder, mode, owner, of_group in folders:
        folder.mkdir(mode=mode, exist_ok=True)
        os.chown(folder, owner, of_group)
        folder.chmod(mode)
    return made


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the keys are, or are to be. `lacking`: terminals whose TMK is in no home yet."""

    machine: Path
    lacking: tuple[str, ...]
    token: Path | None
    state: Path


def keys_of(place: Place, wishes: Wishes | None) -> Keys:
    """As the configuration has them; for a new one, as it will. Raises ConfigError."""
    if wishes is not None:
        token = place.keys / "till.token" if wishes.till else None
        return Keys(place.keys / "machine.key", (wishes.tid,), token, place.state)
    settings = load(place.config)
    key = settings.machine_key_file
    if key.parent != place.keys and not key.exists():
        what = f"{place.config}: machine_key_file: {key} is not there"
        raise ConfigError(f"{what}; write credential:keys_machine.key, and setup makes one that is root's")
    return Keys(key, lacking(settings), settings.till.token_file, settings.state_dir)


def lacking(settings: Settings) -> tuple[str, ...]:
    """The terminals whose TMK is yet to be sealed; what a token has, only `posd keys list` can tell."""
    if settings.keys.home != "sealed" or not needs_tmk(settings):
        return ()
    folder = sealed_folder(settings)
    wanted = [one for one in settings.terminals if one.tmk_file is None]
    return tuple(one.tid for one in wanted if not sealed_path(folder, one.tid, one.tmk_index).exists())


def require_tmks(keys: Keys, digits: str | None) -> None:
    """One TMK may be handed over, for the one terminal that has none. Raises ConfigError."""
    if digits is not None and not keys.lacking:
        raise ConfigError("every terminal has its TMK already, and no key is ever replaced; leave out --tmk-file")
    if digits is None and keys.lacking:
        tid = keys.lacking[0]
        raise ConfigError(f"terminal {tid} has no TMK; give it by --tmk-file FILE, or - to type it; or: posd keys load")
    if len(keys.lacking) > 1:
        others = ", ".join(keys.lacking[1:])
        raise ConfigError(f"each terminal has a TMK of its own; load these first with posd keys load: {others}")


def have_tmk(settings: Settings, digits: str | None) -> View | None:
    """Seal the TMK that was handed over: what may be known of it. None: there was nothing to do."""
    terminals = {one.tid: one for one in settings.terminals}
    for tid in lacking(settings) if digits is not None else ():
        args = {"tid": tid, "index": terminals[tid].tmk_index, "key": digits, "by": SETUP}
        return do(settings, "keys.load", args, quietly=True)
    return None


def check_values(settings: Settings) -> dict[str, str]:
    """Of the TMKs that the terminals work with, by terminal."""
    plain = {one.tid: load_tmk(one.tmk_file, one.tid).kcv for one in settings.terminals if one.tmk_file is not None}
    if len(plain) == len(settings.terminals) or not needs_tmk(settings):
        return plain
    kept = do(settings, "keys.list", {}, quietly=True)["keys"]
    return plain | {view["tid"]: view["check_value"] for view in kept if view["in_use"]}


def have_machine_key(keys: Keys) -> bool:
    """Whether it had to be made. Raises ConfigError where another one must have been."""
    if keys.machine.exists():
        return False
    if (keys.state / "journal").exists():
        what = f"{keys.machine} is missing, but {keys.state} holds a journal, which only its own key can read"
        raise ConfigError(f"{what}; put the copy of the machine key back, mode 0600")
    create_machine_key(keys.machine)
    return True


def have_secret(path: Path, text: str | None) -> bool:
    """A new file of root's alone. Whether it had to be made; one that is there is kept."""
    if path.exists() or text is None:
        return False
    write_new_secret(path, text.encode("ascii") + b"\n")
    return True


def new_token() -> str:
    """What a till shows to be let in."""
    return secrets.token_hex(32)


def checked_tmk(text: str) -> str:
    """The digits of a key that somebody typed. Raises ConfigError, which shows none of them."""
    digits = re.sub(r"\s", "", text)
    if len(digits) not in TMK_DIGITS or re.fullmatch(r"[0-9A-Fa-f]+", digits, re.ASCII) is None:
        raise ConfigError(f"a TMK has 32 or 16 hexadecimal digits; these are {len(digits)} characters")
    return digits


def have_configuration(place: Place, wishes: Wishes | None) -> bool:
    """Write the file, and only if it is good. An existing one is kept."""
    if place.config.exists():
        load(place.config)
        return False
    if wishes is None:
        raise ConfigError(f"{place.config} is missing; say --host, --tid and --mid")
    draft = place.config.with_name(".posd.yaml.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
        file.write(configuration(wishes, place))
        file.flush()
        os.fchown(file.fileno(), ROOT, grp.getgrnam(place.name).gr_gid)
        os.fchmod(file.fileno(), 0o640)
        os.fsync(file.fileno())
    try:
        load(draft)
        draft.rename(place.config)
    finally:
        draft.unlink(missing_ok=True)
    return True


def have_units(place: Place, program: Path) -> bool:
    """The units that ship, for the program that runs this. Whether one of them had to be written or taken away."""
    changed = [_have_unit(name, program) for name in place.unit_files]
    if any(changed):
        command("systemctl", "daemon-reload")
    return any(changed)


def _have_unit(name: str, program: Path) -> bool:
    """What was there and differs is kept beside it.

    Where a package has put that very unit, none is written: one in /etc would outlive the package's next version.
    """
    text = shipped(f"systemd/{name}").read_text(encoding="utf-8").replace(SHIPPED_PROGRAM, str(program))
    path, packaged = UNITS / name, PACKAGED_UNITS / name
    is_packaged = packaged.exists() and packaged.read_text(encoding="utf-8") == text
    if path.exists():
        if not is_packaged and path.read_text(encoding="utf-8") == text:
            return False
        path.replace(path.with_name(f"{path.name}.before"))
    elif is_packaged:
        return False
    if not is_packaged:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    return True


def have_started(place: Place, changed: bool) -> bool:
    """Enabled, and running with what is now on the disk. Whether it had to be started, or started again because setup
    `changed` something. Raises StepFailed with the service's last words."""
    command("systemctl", "enable", "--quiet", place.unit)
    running = is_active(place)
    if running and not changed:
        return False
    try:
        command("systemctl", "restart" if running else "start", place.unit)
    except StepFailed as error:
        raise StepFailed(f"{error}\n{last_words(place.unit)}") from None
    return True


def is_active(place: Place) -> bool:
    done = subprocess.run(("systemctl", "is-active", "--quiet", place.unit), check=False, timeout=COMMAND_LIMIT_S)
    return done.returncode == 0


def last_words(unit: str, lines: int = 5) -> str:
    """What a service said last; empty when nobody may say."""
    done = subprocess.run(
        ("journalctl", "--quiet", "--output=cat", f"--lines={lines}", f"--unit={unit}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_LIMIT_S,
    )
    return done.stdout.strip()


def command(*words: str) -> str:
    """Run a command of the system; its standard output. Raises StepFailed with what it said."""
    return _run(words)


def _run(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)
    except FileNotFoundError:
        raise StepFailed(f"{words[0]}: no such command here; setup needs a system with systemd") from None
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{' '.join(words)}: no end after {COMMAND_LIMIT_S:g} s") from None
    if done.returncode != 0:
        raise StepFailed(f"{' '.join(words)}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout
