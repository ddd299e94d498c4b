"""`posd routes`: the ways to the acquirer, and how each of them is. Exit status 1 when one is not up."""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, settings_at
from posd.cli.lang import Lang
from posd.cli.screen import print_json, printable, table
from posd.cli.speech import ROUTE_STATES, say
from posd.cli.status import duration, moment, show_finding
from posd.daemon.shown.views import View

HEADS = ("route", "address", "state", "since", "last_good", "connect", "answer", "sent")
RIGHT = (5, 6, 7)
COLOURS = {"up": "", "failed": "red", "unknown": "dim"}


def routes_command(config: Path, as_json: bool, lang: Lang) -> int:
    """Print every route."""
    said = ask(settings_at(config), "routes", {})
    if as_json:
        print_json(said)
    else:
        _show(said, lang)
    return exit_status.GOOD if said["good"] else exit_status.FINDINGS


def _show(said: View, lang: Lang) -> None:
    routes = said["routes"]
    heads = [say(lang, f"head_{name}") for name in HEADS]
    colours = [COLOURS.get(route["state"], "yellow") for route in routes]
    print(table(heads, [_row(route, lang) for route in routes], RIGHT, colours))
    for route in routes:
        for line in _more(route, lang):
            print(printable(line))
    for found in said["findings"]:
        show_finding(found, lang)


def _row(route: View, lang: Lang) -> list[str]:
    mark = "* " if route["active"] else "  "
    counts = route.get("counts", {})
    return [
        mark + (route["name"] or say(lang, "only_route")),
        route["address"],
        ROUTE_STATES[route["state"]][lang is Lang.ZH],
        moment(route.get("since"), seconds=True),
        moment(route.get("last_good"), seconds=True),
        _milliseconds(route.get("connect_ms")),
        _milliseconds(route.get("answer_ms")),
        str(counts.get("sent", "")),
    ]


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def _more(route: View, lang: Lang) -> list[str]:
    """What went wrong last, how often, whom it leads to, and when it is trusted again."""
    name, lines = route["name"] or say(lang, "only_route"), []
    if route.get("last_error"):
        at = moment(route["last_error_at"], seconds=True)
        lines.append(say(lang, "route_error", route=name, at=at, why=route["last_error"], **route["counts"]))
    if not route["verified"]:
        lines.append(say(lang, "route_unverified", route=name))
    if (shown := route.get("certificate")) is not None:
        facts = {"subject": shown["name"], "ends": moment(shown["ends"]), "pin": shown["pin"]}
        lines.append(say(lang, "route_certificate", route=name, **facts))
    if route.get("trusted_in_s") is not None:
        lines.append(say(lang, "route_proves", route=name, wait=duration(route["trusted_in_s"], lang)))
    return lines
