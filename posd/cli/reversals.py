"""`posd reversals list | retry | resolve`: what is owed to the host, and what a person does about it.

Only an acknowledgement, or a named person with a reason, ends a reversal; nothing here does it by itself.
"""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, command, settings_at
from posd.cli.proposals import said_status, waiting_line
from posd.cli.screen import note, paint, print_json, printable, table
from posd.cli.status import moment
from posd.daemon.shown.views import View
from posd.errors import ConfigError

NEEDS_A_PERSON = frozenset({"stuck", "conflict", "held"})
UNENDED = NEEDS_A_PERSON | {"owed"}
COLOURS = {"owed": "yellow", "stuck": "red", "conflict": "red", "held": "red", "acknowledged": "", "resolved": ""}
HEADS = ("REVERSAL OF", "STATUS", "AMOUNT", "OWED SINCE", "TRIES", "LAST ANSWER", "NEXT TRY", "WHY IT IS OWED")


def list_command(config: Path, tid: str | None, ended: bool, as_json: bool) -> int:
    """What is owed, stuck or in conflict; with `ended`, also what was ended lately. Status 1: a person is needed."""
    said = ask(settings_at(config, tid), "reversals.list", {"tid": tid, "ended": ended or None})
    reversals = said["reversals"]
    if as_json:
        print_json(said)
    elif not reversals:
        print(paint("No reversal is owed.", "green"))
    else:
        colours = [COLOURS[view["status"]] for view in reversals]
        print(table(HEADS, [_row(view) for view in reversals], right=(2, 4), colours=colours))
        for view in reversals:
            print(f"\n{_why(view)}")
    return exit_status.FINDINGS if any(view["status"] in NEEDS_A_PERSON for view in reversals) else exit_status.GOOD


def _why(view: View) -> str:
    """The diagnosis with its evidence, and what a person can do."""
    found = view["diagnosis"]
    signs = [f"      {moment(sign['at'], seconds=True) or 'now'}  {sign['text']}" for sign in found["evidence"]]
    look_at = [f"    look: {found['to_do']}"] if view["status"] in UNENDED else []
    waits = [line] if (line := waiting_line(view)) else []
    to_do = [f"    do: {view['to_do']}"] if view["to_do"] else []
    head = f"{view['request_id']}: {view['text']}"
    return "\n".join(map(printable, [head, f"    cause: {found['text']}", *signs, *look_at, *waits, *to_do]))


def _row(view: View) -> list[str]:
    tries = f"{view['attempts']} of {view['attempts_max']}"
    return [
        view["request_id"],
        view["status"],
        view["amount"] or "",
        moment(view["owed_since"]),
        tries if view["status"] == "owed" else str(view["attempts"]),
        last_answer(view),
        "on its way" if view["on_its_way"] else moment(view["next_try_at"]),
        view["why_owed"],
    ]


def last_answer(view: View) -> str:
    """The last code with its meaning, or that there was none."""
    if view["last_code"]:
        return f"{view['last_code']} {view['meaning']}".strip()
    return "none" if view["attempts"] and not view["on_its_way"] else ""


def retry_command(config: Path, request_id: str | None, tid: str | None, by: str | None, as_json: bool) -> int:
    """The next attempt now: of one reversal, or of all that are owed or stuck."""
    settings = settings_at(config, tid)
    if request_id is not None and tid is not None:
        raise ConfigError("reversals retry: give an id or --tid, not both")
    asked = {"id": request_id, "tid": tid, "by": by}
    said = command(settings, "reversals.retry", asked)
    if as_json:
        print_json(said)
    elif not said["done"]:
        print("No reversal is owed or stuck.")
    for done in () if as_json else said["done"]:
        print(f"terminal {done['tid']}: {done['text']}")
    return exit_status.GOOD


def resolve_command(config: Path, request_id: str, by: str | None, reason: str, as_json: bool) -> int:
    """A person ends a reversal: who, and why."""
    settings = settings_at(config)
    said = command(settings, "reversals.resolve", {"id": request_id, "by": by, "reason": reason})
    if as_json:
        print_json(said)
    else:
        print(printable(f"{request_id}: {said['text']}"))
        if not said["waits"]:
            note("no reversal is sent for it any more; whether money moved is between you and the acquirer")
    return said_status(said)
