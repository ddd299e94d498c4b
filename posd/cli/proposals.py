"""`posd proposals list | withdraw`: decisions that wait for a second person.

Who seconds one says the same command again, under a user of their own; nothing here does that.
"""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, command, settings_at
from posd.cli.screen import note, paint, print_json, printable, table
from posd.cli.status import moment
from posd.daemon.shown.views import View

HEADS = ("PROPOSAL", "WHAT", "AMOUNT", "BY", "SINCE", "ENDS", "REASON")


def list_command(config: Path, tid: str | None, as_json: bool) -> int:
    """What waits, and what a second person has to type. Status 1: something does."""
    said = ask(settings_at(config, tid), "proposals.list", {"tid": tid})
    waiting = said["proposals"]
    if as_json:
        print_json(said)
    elif not waiting:
        print(paint("Nothing waits for a second person.", "green"))
    else:
        print(table(HEADS, [_row(view) for view in waiting], right=(2,)))
        for view in waiting:
            print(f"\n{printable(view['id'])}{_more(view)}")
    return exit_status.FINDINGS if waiting else exit_status.GOOD


def _row(view: View) -> list[str]:
    times = moment(view["at"]), moment(view["ends_at"])
    return [view["id"], view["text"], view["amount"], view["said_by"], *times, view["reason"]]


def _more(view: View) -> str:
    lines = [f"another user does: {view['to_do']}", "to take it back: posd proposals withdraw ID --reason TEXT"]
    if view["outgrown"]:
        lines.insert(0, f"{view['at_stake']} is at stake by now: the next word will be a first one again")
    return "".join(f"\n    {printable(line)}" for line in lines)


def waiting_line(view: View) -> str | None:
    """For a list of what it is about: who has said what, and what is missing."""
    one = view.get("proposal")
    if one is None:
        return None
    until = moment(one["ends_at"])
    return f"    waits for a second person until {until}: {one['said_by']} wants to {one['text']} ({one['reason']})"


def said_status(said: View) -> int:
    """Of a decision: 0 where it acted, 1 where it waits for a second person; that is said beside the result."""
    if not said.get("waits"):
        return exit_status.GOOD
    note("nothing is done yet: see posd proposals list")
    return exit_status.FINDINGS


def withdraw_command(config: Path, name: str, by: str | None, reason: str, as_json: bool) -> int:
    """Take back what waits: who, and why."""
    said = command(settings_at(config), "proposals.withdraw", {"id": name, "by": by, "reason": reason})
    if as_json:
        print_json(said)
    else:
        print(printable(f"{said['id']}: {said['text']}"))
    return exit_status.GOOD
