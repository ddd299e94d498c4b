"""`posd terminal`: a named person gives the open batch another number (D7), or has the host's parameters asked for."""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import command, settings_at
from posd.cli.screen import pairs, print_json, printable


def batch_command(config: Path, tid: str, number: int, by: str | None, reason: str, as_json: bool) -> int:
    """Who sets it, to what, and why."""
    settings = settings_at(config, tid)
    said = command(settings, "terminal.batch", {"tid": tid, "number": number, "by": by, "reason": reason})
    if as_json:
        print_json(said)
    else:
        print(f"terminal {said['tid']}: {printable(said['text'])}")
    return exit_status.GOOD


def download_command(config: Path, tid: str, by: str | None, as_json: bool) -> int:
    """Ask the host for the terminal's parameters now, and show what it told. Status 1: it has not told them (yet)."""
    settings = settings_at(config, tid)
    said = command(settings, "terminal.download", {"tid": tid, "by": by})
    if as_json:
        print_json(said)
    else:
        print(f"terminal {said['tid']}: {printable(said['text'])}")
        told = {name: value for name, value in said["parameters"].items() if name != "told_at"}
        if told:
            print(pairs([(name, printable(value)) for name, value in told.items()]))
        elif said["good"]:
            print("It told no parameters; those that it told before stay.")
    return exit_status.GOOD if said["good"] else exit_status.FINDINGS
