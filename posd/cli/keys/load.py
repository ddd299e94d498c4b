"""`posd keys load`: a TMK from two or three components, each entered by the person who holds it.

Nothing that is typed is shown, kept before the end, or said again; each step shows the check value, so that a holder
sees a typing error before the others have to type. One sitting: a component that waits on a disk for the next holder
would be the thing that split knowledge is meant to avoid.
"""

import getpass
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import settings_at
from posd.cli.keys.doing import do
from posd.cli.keys.words import say
from posd.cli.lang import Lang
from posd.cli.screen import note, print_json, printable
from posd.config.keyhome import cipher_of
from posd.daemon.control.key_verbs import BETWEEN_NAMES, people
from posd.daemon.shown.views import View
from posd.errors import ConfigError
from posd.security.components import (
    COMPONENTS_MAX,
    COMPONENTS_MIN,
    combined,
    component,
    component_check_value,
    require_check_value,
)
from posd.security.keys import KeyCipher
from posd.security.secretfile import read_private
from posd.settings import Settings

TRIES_MAX = 3
"""For one component; then whoever types should look at the sheet again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line. `files`, `by`: of a load without questions, one each for every component."""

    config: Path
    tid: str
    index: int
    count: int
    files: Sequence[Path]
    by: Sequence[str]
    check_value: str | None
    any_parity: bool


def load_command(asked: Asked, as_json: bool, lang: Lang) -> int:
    """Enter a TMK. Raises ConfigError for what makes no key; then nothing was kept."""
    settings = settings_at(asked.config)
    if asked.files or asked.by:
        key, names = _from_files(asked, cipher_of(settings))
    else:
        key, names = _typed(asked, settings, lang)
    args = {"tid": asked.tid, "index": asked.index, "key": key.hex(), "by": f"{BETWEEN_NAMES} ".join(names)}
    said = do(settings, "keys.load", args)
    if as_json:
        print_json(said)
    else:
        _report(said, settings, lang)
    return exit_status.GOOD


def _report(said: View, settings: Settings, lang: Lang) -> None:
    facts = {"tid": said["tid"], "index": said["index"], "kcv": said["check_value"], "home": said["home"]}
    print(printable(say(lang, "kept", **facts)))
    known = said["tid"] in {one.tid for one in settings.terminals}
    print(say(lang, "restart" if said["in_use"] else "to_use" if known else "not_configured", **facts))


# --- without questions -----------------------------------------------------------------------------------------------


def _from_files(asked: Asked, cipher: KeyCipher) -> tuple[bytes, Sequence[str]]:
    """Files of mode 0600, never arguments: those stand in the list of processes and in the shell's history."""
    if len(asked.files) != len(asked.by):
        raise ConfigError(f"{len(asked.files)} --component-file and {len(asked.by)} --by; give one --by for each file")
    people("keys load", {"by": BETWEEN_NAMES.join(asked.by)})
    components = []
    for number, path in enumerate(asked.files, start=1):
        text = read_private(path, f"component {number}").decode("ascii", "replace")
        try:
            components.append(component(text.strip(), cipher, any_parity=asked.any_parity))
        except ConfigError as error:
            raise ConfigError(f"component {number}: {path}: {error}") from None
    key = combined(components, cipher)
    if asked.check_value is not None:
        require_check_value(component_check_value(key, cipher), asked.check_value)
    return key, asked.by


# --- with people -----------------------------------------------------------------------------------------------------


def _typed(asked: Asked, settings: Settings, lang: Lang) -> tuple[bytes, list[str]]:
    if not sys.stdin.isatty():
        raise ConfigError("components are typed on a terminal; in a script: --component-file FILE --by NAME, for each")
    if not COMPONENTS_MIN <= asked.count <= COMPONENTS_MAX:
        raise ConfigError(f"--components takes {COMPONENTS_MIN} to {COMPONENTS_MAX}")
    cipher = cipher_of(settings)
    print(say(lang, "what", tid=asked.tid, index=asked.index, count=asked.count))
    print(say(lang, "one_sitting"))
    if asked.tid not in {one.tid for one in settings.terminals}:
        note(say(lang, "not_configured", tid=asked.tid))
    names: list[str] = []
    components: list[bytes] = []
    for number in range(1, asked.count + 1):
        names.append(_name(number, asked.count, names, lang))
        components.append(_component(number, cipher, asked.any_parity, lang))
    key = combined(components, cipher)
    kcv = component_check_value(key, cipher)
    print(say(lang, "key_value", kcv=kcv))
    if asked.check_value is not None:
        require_check_value(kcv, asked.check_value)
    if not _agreed(say(lang, "ask_key_right")):
        raise ConfigError(say(lang, "nothing_kept"))
    return key, names


def _name(number: int, count: int, before: Sequence[str], lang: Lang) -> str:
    while True:
        name = _line(f"{say(lang, 'ask_name', number=number, count=count)}: ").strip()
        try:
            people("keys load", {"by": name})
        except ConfigError as error:
            print(printable(str(error)))
            continue
        if BETWEEN_NAMES not in name and name.casefold() not in {one.casefold() for one in before}:
            return name
        print(printable(say(lang, "same_name", name=name)))


def _component(number: int, cipher: KeyCipher, any_parity: bool, lang: Lang) -> bytes:
    for _ in range(TRIES_MAX):
        try:
            found = component(_hidden(f"{say(lang, 'ask_component', number=number)}: "), cipher, any_parity=any_parity)
        except ConfigError as error:
            print(error)
            continue
        print(say(lang, "component_value", number=number, kcv=component_check_value(found, cipher)))
        if _agreed(say(lang, "ask_right")):
            return found
        print(say(lang, "again"))
    raise ConfigError(f"component {number}: {TRIES_MAX} tries; look at the sheet again. Nothing was kept")


def _agreed(question: str) -> bool:
    while True:
        answer = _line(f"{question} ").strip().lower()
        if answer in ("y", "yes", "是", "n", "no", "否"):
            return answer in ("y", "yes", "是")


def _line(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        raise KeyboardInterrupt from None


def _hidden(question: str) -> str:
    try:
        return getpass.getpass(question)
    except EOFError:
        raise KeyboardInterrupt from None
