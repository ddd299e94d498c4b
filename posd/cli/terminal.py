"""`posd terminal batch`: a named person gives the open batch of a terminal another number (D7)."""

from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import command, settings_at
from posd.cli.screen import print_json, printable


def batch_command(config: Path, tid: str, number: int, by: str | None, reason: str, as_json: bool) -> int:
    """Who sets it, to what, and why."""
    settings = settings_at(config, tid)
    said = command(settings, "terminal.batch", {"tid": tid, "number": number, "by": by, "reason": reason})
    if as_json:
        print_json(said)
    else:
        print(f"terminal {said['tid']}: {printable(said['text'])}")
    return exit_status.GOOD
