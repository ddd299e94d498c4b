"""`posd doctor`: everything around posd that can be wrong, with its remedy. It changes nothing and sends nothing: a
route that posd does not hold is connected to and hung up.

Exit status 0: all is good, or only worth knowing; 1: something needs a person; 2: the configuration cannot be used; 3:
posd or its journal could not be asked.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from posd.addresses import SerialAddress
from posd.cli import exit_status
from posd.cli.asking import open_journal
from posd.cli.doctor import access, keys, machine
from posd.cli.doctor.backups import backups
from posd.cli.doctor.machine import ALERT, GOOD, NOTE, WARNING, Found
from posd.cli.doctor.words import check_name, words
from posd.cli.lang import Lang
from posd.cli.screen import columns, paint, print_json, printable
from posd.cli.setup.place import place_with
from posd.cli.speech import finding
from posd.cli.status import duration, moment
from posd.config import load_document
from posd.core.schedule import local
from posd.daemon.certificates import as_they_stand, in_files
from posd.daemon.clock import SystemClock
from posd.daemon.control.server import ControlFailed, NoDaemon, call
from posd.daemon.links.linking import connect_of
from posd.daemon.shown.certificate_view import certificate_findings, certificates_view
from posd.daemon.shown.route_view import configured_routes, unverified_findings
from posd.daemon.shown.views import View
from posd.errors import PosdError, StorageFailed
from posd.settings import HostSettings, Route, Settings

COLOURS = {GOOD: "green", NOTE: "dim", WARNING: "yellow", ALERT: "red"}
MARKS = {GOOD: "+", NOTE: "-", WARNING: "!", ALERT: "!"}
UNASKED = frozenset({"daemon_silent", "journal_unread"})
"""Codes of what could not be asked at all."""


def doctor_command(config: Path, as_json: bool, lang: Lang) -> int:
    """Look at everything and print what was found."""
    found = list(_look(config, lang))
    status = _status(found)
    if as_json:
        views = [machine.as_view(one, *words(lang, one.code, one.facts)) for one in found]
        print_json({"good": status == exit_status.GOOD, "findings": views})
        return status
    width = max(columns(check_name(lang, one.check)) for one in found)
    for one in found:
        _show(one, width, lang)
    return status


def _status(found: list[Found]) -> int:
    if any(one.code in UNASKED for one in found):
        return exit_status.FAILURE
    wanted = any(one.level in (WARNING, ALERT) for one in found)
    return exit_status.FINDINGS if wanted else exit_status.GOOD


def _show(found: Found, width: int, lang: Lang) -> None:
    text, to_do = words(lang, found.code, found.facts)
    name = check_name(lang, found.check)
    fill = " " * (width - columns(name))
    print(paint(printable(f"{MARKS[found.level]} {name}{fill}  {text}"), COLOURS[found.level]))
    if to_do:
        print(f"  {' ' * width}  {printable(f'→ {to_do}')}")


def _look(config: Path, lang: Lang) -> Iterator[Found]:
    """The machine first, then what posd itself says. Raises ConfigError for a configuration that cannot be read."""
    settings, document = load_document(config)
    place = place_with(config)
    unit = machine.unit_of(place)
    yield from machine.clock()
    yield from machine.engine()
    yield from machine.disk(settings)
    yield from machine.state(settings)
    yield from backups(settings, place)
    yield from access.roles(settings)
    yield from keys.keys_and_folders(settings, document, unit.get("User", ""))
    said, trouble = _asked(settings, place.unit if unit.get("LoadState") == "loaded" else "")
    running = said is not None and bool(said["posd"]["running"])
    yield from machine.service(place, unit, running)
    yield from machine.swap(unit)
    yield from trouble
    yield from _certificates(settings, said if running else None, lang)
    held = _held(settings) if running else []
    yield from _routes(settings, held)
    if said is not None:
        yield from _day(said, lang, running)
        if running:
            yield from _answers(held, lang)


def _asked(settings: Settings, unit: str) -> tuple[View | None, list[Found]]:
    """The status by the daemon, or by the journal; and why not. `unit`: empty where posd is no service."""
    facts = {"unit": unit}
    trouble: list[Found] = []
    try:
        return call(settings.control_socket, "status", {}), []
    except NoDaemon:
        trouble.append(Found("service", ALERT, "daemon_down" if unit else "daemon_not_started", facts))
    except ControlFailed as error:
        return None, [Found("service", ALERT, "daemon_silent", {**facts, "why": error})]
    try:
        with open_journal(settings) as journal:
            return journal.answer("status", {}), trouble
    except StorageFailed as error:
        return None, [*trouble, Found("settlement", ALERT, "journal_unread", {"why": error})]
    except PosdError:
        return None, trouble  # no journal yet


def _held(settings: Settings) -> list[View]:
    """What the running posd says of its routes; nothing where it went away meanwhile."""
    try:
        return list(call(settings.control_socket, "routes", {})["routes"])
    except (NoDaemon, ControlFailed):
        return []


def _certificates(settings: Settings, said: View | None, lang: Lang) -> Iterator[Found]:
    """As the running posd sees them, those of hosts too; else those in files. Nothing where there are none."""
    now_ms, zone = SystemClock().now().wall_ms, settings.settlement.zone
    if said is not None:
        certificates = list(said["posd"]["certificates"])
    else:
        found = as_they_stand(in_files(settings, now_ms), now_ms, settings.certificates.alert_days)
        certificates = certificates_view(found, now_ms, zone)
    open_to_all = [] if said is not None else unverified_findings(configured_routes(settings.host))
    wanted = [*certificate_findings(certificates), *open_to_all]
    for one in wanted:
        text, to_do = finding(lang, one)
        yield Found("certificates", ALERT, "certificates_wanted", {"text": text, "to_do": to_do})
    if certificates and not wanted:
        first = min(certificates, key=lambda one: str(one["ends"]))
        facts = {"count": len(certificates), "name": first["name"], "at": moment(first["ends"])}
        yield Found("certificates", GOOD, "certificates_good", facts)


# --- the lines -------------------------------------------------------------------------------------------------------


def _routes(settings: Settings, held: list[View]) -> Iterator[Found]:
    """What posd holds is not touched: a host may allow one connection only."""
    up = {route["name"] for route in held if route["state"] == "up"}
    for route in settings.host.every_route():
        facts = {"name": f"{route.name} " if route.name else "", "address": str(route.address)}
        if route.name in up:
            yield Found("routes", GOOD, "route_up", facts)
        elif isinstance(route.address, SerialAddress):
            yield Found("routes", NOTE, "route_serial", facts)
        else:
            yield _reached(settings.host, route, facts)


def _reached(host: HostSettings, route: Route, facts: dict[str, str]) -> Found:
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    try:
        asyncio.run(_connect_and_hang_up(host, route))
    except OSError as error:
        return Found("routes", ALERT, "route_down", {**facts, "why": (error.strerror or str(error)).lower()})
    except PosdError as error:
        why = str(error).removeprefix(f"cannot connect to {facts['address']}: ")
        return Found("routes", ALERT, "route_down", {**facts, "why": why})
    return Found("routes", GOOD, "route_reachable", {**facts, "ms": round((clock.monotonic_s() - begun_s) * 1000)})


async def _connect_and_hang_up(host: HostSettings, route: Route) -> None:
    channel = await connect_of(host, route)()
    await channel.close()


def _answers(held: list[View], lang: Lang) -> Iterator[Found]:
    """When the host was last heard, and whether it has been silent since."""
    now = SystemClock().now()
    heard = [route for route in held if route.get("last_heard")]
    if not heard:
        yield Found("answer", NOTE, "answer_none")
        return
    newest = max(heard, key=lambda route: str(route["last_heard"]))
    at = moment(newest["last_heard"], seconds=True)
    here = local(now.wall_ms, "UTC")
    ago_s = max(0, int((here - datetime.fromisoformat(newest["last_heard"])).total_seconds()))
    failed_since = newest["counts"]["silences"] and str(newest.get("last_error_at") or "") > str(newest["last_heard"])
    code, level = ("answer_old", WARNING) if failed_since else ("answer_good", GOOD)
    yield Found("answer", level, code, {"ago": duration(ago_s, lang), "at": at})


# --- the day ---------------------------------------------------------------------------------------------------------


def _day(said: View, lang: Lang, running: bool) -> Iterator[Found]:
    for terminal in said["terminals"]:
        tid = terminal["tid"]
        if terminal.get("empty"):
            continue
        closing, last = terminal["settlement"], terminal["last_close"]
        if closing["late"]:
            yield Found("schedule", ALERT, "schedule_late", {"tid": tid, "at": moment(closing["due_since"])})
        else:
            yield Found("schedule", GOOD, "schedule_good", {"tid": tid, "at": moment(closing["next_due_at"])})
        if last is None:
            yield Found("settlement", NOTE, "settlement_none", {"tid": tid})
        else:
            facts = {"tid": tid, "batch": last["batch"], "at": moment(last["closed_at"])}
            yield Found("settlement", GOOD, "settlement_good", facts)
    wanted = [
        one
        for one in said["findings"]
        if not one["code"].startswith("certificate_")  # said already
        and (running or one["code"] not in ("daemon_down", "host_not_verified"))
    ]
    for one in wanted:
        text, to_do = finding(lang, one)
        tid = f"{one['tid']}: " if one["tid"] else ""
        level = ALERT if one["level"] == "alert" else NOTE
        yield Found("attention", level, "attention_wanted", {"tid": tid, "text": text, "to_do": to_do})
    if not wanted:
        yield Found("attention", GOOD, "attention_good")
