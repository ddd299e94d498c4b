"""`posd setup`: from an installed program to a running, proven service. May be run again: it adds what is missing.

Exit status 0: the host has answered a sign-in of every terminal; 1: it runs, and the host has not answered yet; 2: the
answers cannot be used, and nothing was started; 3: the system refused a step.
"""

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from posd.cli import exit_status
from posd.cli.lang import Lang
from posd.cli.screen import paint, print_json, printable
from posd.cli.setup import machine
from posd.cli.setup.backups import have_backups, have_first_backup
from posd.cli.setup.config import Wishes, configuration
from posd.cli.setup.place import Place, place_of, program, require_seen
from posd.cli.setup.words import say
from posd.cli.speech import finding
from posd.cli.status import moment
from posd.config import load
from posd.daemon.clock import SystemClock
from posd.daemon.control.server import ControlFailed, NoDaemon, call
from posd.daemon.shown.views import View
from posd.errors import ConfigError
from posd.security.secretfile import read_private
from posd.settings import Settings

PROVE_S = 45.0
"""Longer than connecting and one reply limit by their defaults."""
POLL_S = 0.25
CLOCK = SystemClock()
TMK_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class Given:
    """What was said on the command line; None: not said."""

    host: str | None = None
    tid: str | None = None
    mid: str | None = None
    tmk_file: str | None = None
    at: tuple[str, ...] = ()
    zone: str | None = None
    listen: str | None = None
    till: str | None = None
    instance: str | None = None
    yes: bool = False
    start: bool = True
    backup: str | None = None

    def any_wish(self) -> bool:
        return any((self.host, self.tid, self.mid, self.at, self.zone, self.listen, self.till, self.backup))


@dataclass
class Report:
    """What was done, told line by line or as one document."""

    place: Place
    lang: Lang
    as_json: bool
    steps: list[View] = field(default_factory=list)

    def step(self, name: str, was_new: bool, **facts: Any) -> None:
        place = self.place
        known = {"user": place.name, "etc": place.etc, "keys": place.keys, "config": place.config, "unit": place.unit}
        text = say(self.lang, name, **{**known, "unit_file": place.unit_file, **facts})
        self.steps.append({"step": name, "done": was_new, "text": text})
        if not self.as_json:
            mark = say(self.lang, "done" if was_new else "kept")
            print(f"{paint(mark, 'green' if was_new else 'dim')}  {printable(text)}", flush=True)

    def tell(self, text: str) -> None:
        if not self.as_json:
            print(printable(text), flush=True)


def setup_command(given: Given, as_json: bool, lang: Lang) -> int:
    """Set this machine up."""
    place = place_of(given.instance)
    where = _checked_machine()
    wishes, tmk = _wishes(given, place, lang)
    report = Report(place, lang, as_json)
    settings = _write(report, where, wishes, tmk)
    if not given.start:
        report.tell(say(lang, "not_started", unit=place.unit))
        return _end(report, settings, None)
    report.step("started", machine.have_started(place, any(step["done"] for step in report.steps)))
    if settings.backup.path is not None:
        report.step("backed_up", have_first_backup(place, settings.backup.path), path=settings.backup.path)
    return _end(report, settings, _prove(report, settings))


def _checked_machine() -> Path:
    """Where the program is. Raises ConfigError for a machine on which setup can do nothing."""
    if os.geteuid() != 0:
        raise ConfigError("setup makes a user and a service; run it as root: sudo posd setup")
    if not Path("/run/systemd/system").is_dir():
        raise ConfigError("systemd does not run here; without it: posd run --config FILE, see the README")
    return program()


# --- what is wanted --------------------------------------------------------------------------------------------------


def _wishes(given: Given, place: Place, lang: Lang) -> tuple[Wishes | None, str | None]:
    """The answers and the TMK's digits; None where the machine has them already. Raises ConfigError."""
    if place.config.exists():
        if given.any_wish():
            raise ConfigError(f"{place.config} exists and is kept; edit it, and run setup without --host and the like")
        return None, _tmk(given)
    if given.yes:
        missing = [name for name in ("host", "tid", "mid", "tmk_file") if not getattr(given, name)]
        if missing:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise ConfigError(f"with --yes also say {options}; or leave --yes out, and setup asks")
        wishes, tmk = _said(given), _tmk(given)
    else:
        wishes, tmk = _asked(given, place, lang)
    _try(wishes, place)
    return wishes, tmk


def _said(given: Given) -> Wishes:
    usual = Wishes("", "", "")
    return Wishes(
        given.host or "",
        given.tid or "",
        given.mid or "",
        given.at or usual.at,
        given.zone or usual.zone,
        given.listen or usual.listen,
        given.till or usual.till,
        given.backup or usual.backup,
    )


def _asked(given: Given, place: Place, lang: Lang) -> tuple[Wishes, str]:
    if not sys.stdin.isatty():
        raise ConfigError("setup asks on a terminal; in a script: posd setup --yes --host … (see posd setup --help)")
    said = _said(given)
    wishes = Wishes(
        _answer(say(lang, "ask_host"), said.host),
        _answer(say(lang, "ask_tid"), said.tid),
        _answer(say(lang, "ask_mid"), said.mid),
        tuple(_answer(say(lang, "ask_at"), ",".join(said.at)).replace(" ", "").split(",")),
        _answer(say(lang, "ask_zone"), said.zone),
        said.listen,
        said.till,
        said.backup,
    )
    tmk = _tmk(given) or _hidden(lang)
    facts = {"user": place.name, "config": place.config, "keys": place.keys, "state": place.state, "unit": place.unit}
    print(say(lang, "will", **facts))
    if _answer(f"{say(lang, 'ask_go')} [y/n]", "").lower() not in ("y", "yes", "是"):
        raise KeyboardInterrupt
    return wishes, tmk


def _answer(question: str, usual: str) -> str:
    while True:
        try:
            text = input(f"{question}{f' [{usual}]' if usual else ''}: ").strip() or usual
        except EOFError:
            raise KeyboardInterrupt from None
        if text:
            return text


def _hidden(lang: Lang) -> str:
    """A key typed twice, never shown."""
    while True:
        first = machine.checked_tmk(getpass.getpass(f"{say(lang, 'ask_tmk')}: "))
        if getpass.getpass(f"{say(lang, 'ask_tmk_again')}: ").strip() == first:
            return first
        print(say(lang, "tmk_differs"))


def _tmk(given: Given) -> str | None:
    """The digits of --tmk-file; `-` is standard input."""
    if given.tmk_file is None:
        return None
    if given.tmk_file == "-":
        return machine.checked_tmk(sys.stdin.readline(TMK_BYTES_MAX))
    return machine.checked_tmk(read_private(Path(given.tmk_file), "TMK").decode("ascii", "replace"))


def _try(wishes: Wishes, place: Place) -> None:
    """Refuse answers that no posd could start with, before anything is written. Raises ConfigProblems."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "posd.yaml"
        draft.write_text(configuration(wishes, place), encoding="utf-8")
        backup = load(draft).backup
    for what, place_of_it in (("backup.path", backup.path), ("backup.keys_to", backup.keys_to)):
        if place_of_it is not None:
            require_seen(place_of_it, what)


# --- what is done ----------------------------------------------------------------------------------------------------


def _write(report: Report, where: Path, wishes: Wishes | None, tmk: str | None) -> Settings:
    """The machine key before the settings that name it, and the TMK, sealed under it, last: whatever ends setup half
    way, a second run goes on."""
    place = report.place
    keys = machine.keys_of(place, wishes)
    machine.require_tmks(keys, tmk)
    report.step("user", machine.have_user(place))
    report.step("folders", machine.have_folders(place))
    report.step("machine_key", machine.have_machine_key(keys), file=keys.machine)
    if keys.token is not None:
        report.step("token", machine.have_secret(keys.token, machine.new_token()), file=keys.token)
    report.step("configuration", machine.have_configuration(place, wishes))
    report.step("unit", machine.have_units(place, where))
    backup = load(place.config).backup
    if backup.path is not None:
        report.step("backup", have_backups(place, backup), path=backup.path)
    settings = load(place.config)
    sealed = machine.have_tmk(settings, tmk)
    for tid, kcv in machine.check_values(settings).items():
        report.step("tmk", sealed is not None and sealed["tid"] == tid, tid=tid, kcv=kcv)
    return settings


def _prove(report: Report, settings: Settings) -> View:
    """Wait until every terminal has signed in to the host: the newest status, with `proved`."""
    report.tell(say(report.lang, "waiting", seconds=f"{PROVE_S:g}"))
    said = _until(lambda: _status(settings), CLOCK.monotonic_s() + PROVE_S)
    said["proved"] = _signed_in(said)
    return said


def _until(ask: Callable[[], View], deadline_s: float) -> View:
    said = ask()
    while not _signed_in(said) and CLOCK.monotonic_s() < deadline_s:
        Event().wait(POLL_S)
        said = ask()
    return said


def _status(settings: Settings) -> View:
    try:
        return call(settings.control_socket, "status", {})
    except (NoDaemon, ControlFailed) as error:
        return {"posd": {}, "terminals": [], "findings": [], "error": str(error)}


def _signed_in(said: View) -> bool:
    """The line is up now, and the host has taken every terminal."""
    terminals = said["terminals"]
    return bool(terminals) and said["posd"]["link_up"] and all(terminal.get("signed_in") for terminal in terminals)


def _end(report: Report, settings: Settings, said: View | None) -> int:
    """What became of it, and what a person does next."""
    place, lang = report.place, report.lang
    good = said is None or said["proved"]
    keys = machine.keys_of(place, None)
    kcvs = list(machine.check_values(settings).values())
    to_do = _next(report, settings, keys, kcvs)
    if report.as_json:
        findings = [] if said is None else said["findings"]
        print_json(
            {
                "good": good,
                "proved": said and said["proved"],
                "steps": report.steps,
                "findings": findings,
                "next": to_do,
            }
        )
        return exit_status.GOOD if good else exit_status.FINDINGS
    if said is not None and said["proved"]:
        signed_in = ", ".join(f"{one['tid']} {moment(one['signed_in_at'])}" for one in said["terminals"])
        print(paint(say(lang, "proved", signed_in=signed_in), "green"))
    elif said is not None:
        print(paint(say(lang, "not_proved"), "yellow"))
        _show_findings(said, lang)
    print(say(lang, "next"))
    for number, text in enumerate(to_do, 1):
        print(f"  {number}. {printable(text)}")
    return exit_status.GOOD if good else exit_status.FINDINGS


def _show_findings(said: View, lang: Lang) -> None:
    for found in said["findings"]:
        text, to_do = finding(lang, found)
        print(printable(f"  - {text}" + (f"; {to_do}" if to_do else "")))
    if said.get("error"):
        print(printable(f"  - {said['error']}"))


def _next(report: Report, settings: Settings, keys: machine.Keys, kcvs: list[str]) -> list[str]:
    place, lang = report.place, report.lang
    listen = ", ".join(map(str, settings.door.listen))
    option = f" --config {place.config}" if place.instance else ""
    return [
        say(lang, "next_copy", file=keys.machine),
        say(lang, "next_kcv", kcv=", ".join(kcvs)),
        say(lang, "next_terminal", listen=listen),
        say(lang, "next_doctor", option=option),
        say(lang, "next_more", config=place.config, unit=place.unit),
    ]
