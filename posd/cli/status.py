"""`posd status`: how the terminals are, and what needs a person. Exit status 1 when something does."""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, settings_at
from posd.cli.lang import Lang
from posd.cli.reason_words import reason
from posd.cli.screen import paint, pairs, print_json, printable, table
from posd.cli.speech import finding, phase, say, short_outcome
from posd.daemon.shown.views import View

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

HEADS = (
    "terminal",
    "host",
    "batch",
    "transactions",
    "debit",
    "credit",
    "reversals",
    "settlement",
    "last_close",
)


def status_command(config: Path, tid: str | None, as_json: bool, lang: Lang) -> int:
    """Print the state of one terminal or of all."""
    said = ask(settings_at(config, tid), "status", {"tid": tid})
    if as_json:
        print_json(said)
    else:
        _show(said, lang)
        if tid is not None:
            _show_parameters(said["terminals"], lang)
    return exit_status.GOOD if said["good"] else exit_status.FINDINGS


def _show(said: View, lang: Lang) -> None:
    print(_posd(said["posd"], lang))
    for door in said["posd"]["doors"]:
        print(printable(_door(door, lang)))
    print()
    alerted = {found["tid"] for found in said["findings"] if found["level"] == "alert"}
    terminals = said["terminals"]
    colours = ["red" if terminal["tid"] in alerted else "" for terminal in terminals]
    heads = [say(lang, name) for name in HEADS]
    print(table(heads, [_row(terminal, lang) for terminal in terminals], colours=colours))
    print()
    for found in said["findings"]:
        show_finding(found, lang)
    if not said["findings"]:
        print(paint(say(lang, "all_good"), "green"))


def _show_parameters(terminals: list[View], lang: Lang) -> None:
    """What the host has told a terminal of its parameters (reference 1.14)."""
    for terminal in terminals:
        if told := dict(terminal.get("parameters") or {}):
            print(f"\n{say(lang, 'parameters', at=moment(told.pop('told_at')))}")
            print(pairs([(name, printable(value)) for name, value in told.items()]))


def _posd(posd: View, lang: Lang) -> str:
    if not posd["running"]:
        return say(lang, "stopped", version=posd["version"])
    if not posd["link_up"]:
        line = say(lang, "line_down", why=reason(lang, posd["link_why"]))
    else:
        line = say(lang, "line_up_by", route=posd["route"]) if posd["route"] else say(lang, "line_up")
    return printable(say(lang, "running", version=posd["version"], up=duration(posd["up_s"], lang), line=line))


def _door(door: View, lang: Lang) -> str:
    """One door in a line: where, whether it is open, and how many are inside."""
    name = say(lang, f"door_{door['kind']}", where=door["where"])
    if door["state"] == "down":
        return f"{name}{say(lang, 'door_is_down', why=reason(lang, door['why']))}"
    facts = {"connected": door["connected"], "most": door["connections_max"]}
    return f"{name}{say(lang, 'door_is_full' if door['state'] == 'full' else 'door_is_up', **facts)}"


def duration(seconds: int, lang: Lang) -> str:
    """'2 d 3 h', '1 h 0 min', '5 min 9 s'."""
    if seconds >= DAY_S:
        return say(lang, "days", n=seconds // DAY_S, m=seconds % DAY_S // HOUR_S)
    if seconds >= HOUR_S:
        return say(lang, "hours", n=seconds // HOUR_S, m=seconds % HOUR_S // MINUTE_S)
    return say(lang, "minutes", n=seconds // MINUTE_S, m=seconds % MINUTE_S)


def _row(terminal: View, lang: Lang) -> list[str]:
    if terminal.get("empty"):
        return [terminal["tid"], say(lang, "empty"), *[""] * (len(HEADS) - 2)]
    counted = terminal["transactions"]
    return [
        terminal["tid"],
        say(lang, f"host_{terminal['host']}"),
        f"{terminal['batch']['number']:06d}",
        say(lang, "in_totals", count=counted["count"], counted=counted["in_totals"]),
        amount(terminal["totals"], "debit", lang),
        amount(terminal["totals"], "credit", lang),
        _reversals(terminal["reversals"], lang),
        _settlement(terminal["settlement"], lang),
        _last_close(terminal["last_close"], lang),
    ]


def amount(totals: View, side: str, lang: Lang) -> str:
    """Both groups of one side of the totals together: '12.30 (2)'."""
    groups = (totals["domestic"], totals["foreign"])
    minor = sum(group[f"{side}_minor"] for group in groups)
    count = sum(group[f"{side}_count"] for group in groups)
    return say(lang, "amount", amount=f"{minor // 100:,}.{minor % 100:02d}", count=count)


def _reversals(counted: View, lang: Lang) -> str:
    owed = {**counted, "on_hold": counted["held"]}
    parts = [say(lang, name, count=owed[name]) for name in ("owed", "stuck", "conflict", "on_hold") if owed[name]]
    return ", ".join(parts) or say(lang, "none")


def _settlement(closing: View, lang: Lang) -> str:
    """Where it stands, in a few words; why it is late or waits is said by the findings."""
    match closing["standing"]:
        case "late" if closing["due_since"] and closing["phase"] == "open":
            return say(lang, "late", at=moment(closing["due_since"]))
        case "deferred":
            return say(lang, "is_deferred", at=moment(closing["deferred"]["until"]))
        case "gap":
            return say(lang, "gap")
        case "held":
            return say(lang, "is_held", **closing["held"])
        case "due" if closing["due_since"]:
            return say(lang, "due_since", at=moment(closing["due_since"]))
        case "due":
            return say(lang, "wanted")
        case "settled":
            return say(lang, "is_settled", at=moment(closing["next_due_at"]))
        case "open":
            return say(lang, "next_due", at=moment(closing["next_due_at"]))
        case _:
            return phase(lang, closing)


def _last_close(close: View | None, lang: Lang) -> str:
    if close is None:
        return "-"
    return f"{close['batch']:06d} {moment(close['closed_at'])} {short_outcome(lang, close)}"


def moment(iso: str | None, *, seconds: bool = False) -> str:
    """'2026-03-02T23:00:00+08:00' as '2026-03-02 23:00'; the zone is the terminal's own."""
    return iso[: 19 if seconds else 16].replace("T", " ") if iso else ""


def show_finding(found: View, lang: Lang) -> None:
    """What is not as it should be, and what to do."""
    text, to_do = finding(lang, found)
    mark, colour = ("!", "red") if found["level"] == "alert" else ("-", "yellow")
    tid = f"{found['tid']}: " if found["tid"] else ""
    print(paint(printable(f"{mark} {tid}{text}"), colour))
    if to_do:
        print(f"    {printable(say(lang, 'to_do', text=to_do))}")
