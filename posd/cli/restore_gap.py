"""`posd restore-gap list | admit | resolve`: what a restored backup does not know, and who ends that.

Only a named person with a reason does; nothing here does it by itself.
"""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, command, settings_at
from posd.cli.screen import note, paint, pairs, print_json, printable
from posd.cli.status import moment
from posd.daemon.shown.findings import WAITS_FOR
from posd.daemon.shown.views import View


def list_command(config: Path, tid: str | None, as_json: bool) -> int:
    """Each terminal's gap, with what of it is held or was asked about. Status 1: there is one."""
    said = ask(settings_at(config, tid), "gap.list", {"tid": tid})
    if as_json:
        print_json(said)
    elif said["good"]:
        print(paint("Nothing is unknown since a restore.", "green"))
    for gap in () if as_json else said["gaps"]:
        print(pairs(_lines(gap)))
        for one in gap["held"]:
            print(printable(f"  held  {one['request_id']}  {one['amount'] or ''}  STAN {one['stan'] or 0:06d}"))
            print(printable(f"    do: {one['to_do']}"))
        for of in gap["asked"]:
            print(printable(f"  asked about by a terminal or till, and not done: {of}"))
        print()
    return exit_status.GOOD if said["good"] else exit_status.FINDINGS


def _lines(gap: View) -> list[tuple[str, str]]:
    stans, batches = gap["stans"], gap["batches"]
    last = f"{batches['last']:06d}" if batches["last"] is not None else "not known yet"
    return [
        ("terminal", gap["tid"]),
        ("backup", gap["backup"]),
        ("not known", f"{moment(gap['since'], seconds=True)} to {moment(gap['until'], seconds=True)}"),
        ("trace numbers", f"{stans['first']:06d} to {stans['last']:06d} may have been used"),
        ("batches", f"{batches['first']:06d} to {last}"),
        ("waits for", "; ".join(WAITS_FOR[one] for one in gap["waits_for"])),
        ("new above", f"{gap['terminal_mark']:06d}, the terminal's own number" if gap["terminal_mark"] else ""),
        ("admitted by", gap["admitted_by"]),
    ]


def admit_command(
    config: Path,
    tid: str | None,
    terminal_stan: int | None,
    batch: int | None,
    by: str | None,
    reason: str,
    as_json: bool,
) -> int:
    """A person vouches that nothing of before the restore is asked for again."""
    asked = {"tid": tid, "terminal_stan": terminal_stan, "batch": batch, "by": by, "reason": reason}
    return _ended(config, "gap.admit", tid, asked, as_json)


def resolve_command(config: Path, tid: str | None, by: str | None, reason: str, as_json: bool) -> int:
    """A person has reconciled it: who, and why."""
    status = _ended(config, "gap.resolve", tid, {"tid": tid, "by": by, "reason": reason}, as_json)
    if not as_json:
        note("the open batch is settled from what posd knows; what it does not know is between you and the acquirer")
    return status


def _ended(config: Path, verb: str, tid: str | None, asked: dict[str, str | int | None], as_json: bool) -> int:
    said = command(settings_at(config, tid), verb, asked)
    if as_json:
        print_json(said)
    else:
        print(printable(f"terminal {said['tid']}: {said['text']}"))
    return exit_status.GOOD
