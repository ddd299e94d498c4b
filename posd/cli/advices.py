"""`posd advices list | retry | resolve`: what the terminals told that the host does not have yet, or will not have.

Only the host, or a named person with a reason, ends an advice; nothing here does it by itself.
"""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, command, settings_at
from posd.cli.proposals import said_status, waiting_line
from posd.cli.reversals import last_answer
from posd.cli.screen import note, paint, print_json, printable, table
from posd.cli.status import moment
from posd.daemon.shown.views import View
from posd.errors import ConfigError

NEEDS_A_PERSON = frozenset({"stuck", "refused", "held", "doubtful"})
COLOURS = {"owed": "yellow", "stuck": "red", "refused": "red", "held": "red", "doubtful": "red"}
HEADS = ("ADVICE", "KIND", "STATUS", "AMOUNT", "SINCE", "TRIES", "LAST ANSWER", "NEXT TRY")


def list_command(config: Path, tid: str | None, ended: bool, as_json: bool) -> int:
    """What is owed, stuck or refused; with `ended`, also what was ended lately. Status 1: a person is needed."""
    said = ask(settings_at(config, tid), "advices.list", {"tid": tid, "ended": ended or None})
    advices = said["advices"]
    if as_json:
        print_json(said)
    elif not advices:
        print(paint("No advice waits.", "green"))
    else:
        colours = [COLOURS.get(view["status"], "") for view in advices]
        print(table(HEADS, [_row(view) for view in advices], right=(3, 5), colours=colours))
        for view in advices:
            print(f"\n{_more(view)}")
    return exit_status.FINDINGS if any(view["status"] in NEEDS_A_PERSON for view in advices) else exit_status.GOOD


def _row(view: View) -> list[str]:
    tries = f"{view['attempts']} of {view['attempts_max']}"
    return [
        view["request_id"],
        view["kind"] or "",
        view["status"],
        view["amount"] or "",
        moment(view["stored_at"]),
        tries if view["status"] == "owed" else str(view["attempts"]),
        last_answer(view),
        "on its way" if view["on_its_way"] else moment(view["next_try_at"]),
    ]


def _more(view: View) -> str:
    """What it is, what was tried, and what a person can do."""
    lines = [f"{view['request_id']}: {view['text']}"]
    lines += [f"      {moment(one['at'], seconds=True)}  {one['text']}" for one in view["history"]]
    lines += [f"    it cannot be encoded: {view['cannot_be_encoded']}"] if view["cannot_be_encoded"] else []
    lines += ["    carried over: it counts in the totals of its batch"] if view["carried_over"] else []
    lines += [f"    known because {view['settled']}"] if view["settled"] else []
    lines += [f"    by {view['resolved_by']}: {view['resolved_reason']}"] if view["resolved_by"] else []
    lines += [line] if (line := waiting_line(view)) else []
    lines += [f"    do: {view['to_do']}"] if view["to_do"] else []
    return "\n".join(map(printable, lines))


def retry_command(config: Path, request_id: str | None, tid: str | None, by: str | None, as_json: bool) -> int:
    """The next attempt now: of one advice, or of all that are owed or stuck."""
    settings = settings_at(config, tid)
    if request_id is not None and tid is not None:
        raise ConfigError("advices retry: give an id or --tid, not both")
    asked = {"id": request_id, "tid": tid, "by": by}
    said = command(settings, "advices.retry", asked)
    if as_json:
        print_json(said)
    elif not said["done"]:
        print("No advice is owed or stuck.")
    for done in () if as_json else said["done"]:
        print(f"terminal {done['tid']}: {done['text']}")
    return exit_status.GOOD


def resolve_command(config: Path, request_id: str, by: str | None, reason: str, as_json: bool) -> int:
    """A person ends an advice: who, and why."""
    said = command(settings_at(config), "advices.resolve", {"id": request_id, "by": by, "reason": reason})
    if as_json:
        print_json(said)
    else:
        print(printable(f"{said['request_id']}: {said['text']}"))
        if not said["waits"]:
            note("the host is not told of it any more; the money is between you and the acquirer")
    return said_status(said)
