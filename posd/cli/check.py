"""`posd check DATE`: whether each terminal's settlements of a business day were done, and why not.

From the journal, with the daemon up or down. Exit status 1 when one was forgotten, or when it cannot be told.
"""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import open_journal, settings_at
from posd.cli.close_words import cause, day, event, label
from posd.cli.lang import Lang
from posd.cli.screen import Progress, paint, print_json, printable, table
from posd.cli.status import duration, moment
from posd.daemon.control.server import ControlFailed, NoDaemon, call
from posd.daemon.shown.views import View
from posd.errors import ConfigError
from posd.settings import Settings

HEADS = ("head_terminal", "due", "status", "head_batch", "settled", "at_stake")
COLOURS = {"forgotten": "red", "unknown": "red", "under_way": "yellow", "deferred": "yellow"}


def check_command(config: Path, day_text: str, tid: str | None, as_json: bool, lang: Lang) -> int:
    """One business day of one terminal or of all."""
    wanted = _date(day_text)
    settings = settings_at(config, tid)
    with Progress("reading the journal"), open_journal(settings) as journal:
        terminals = journal.days(wanted, settings.settlement.day_ends_at, tid, running=_running(settings))
    good = all(terminal["good"] for terminal in terminals)
    if as_json:
        print_json({"good": good, "date": wanted.isoformat(), "terminals": terminals})
    else:
        print("\n".join(_lines(wanted, terminals, lang)))
    return exit_status.GOOD if good else exit_status.FINDINGS


def _date(text: str) -> date:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            found = date.fromisoformat(text)
        except ValueError:
            pass
        else:
            if 1970 < found.year < 9999:
                return found
    raise ConfigError(f"check: {printable(text)[:20]!r} is no date; write it as 2026-03-02")


def _running(settings: Settings) -> bool:
    """Whether a daemon answers now; one that only refuses is there too."""
    try:
        call(settings.control_socket, "status", {})
    except NoDaemon:
        return False
    except ControlFailed:
        return True
    return True


def _lines(wanted: date, terminals: list[View], lang: Lang) -> Iterable[str]:
    for begin, end in sorted({(terminal["from"], terminal["until"]) for terminal in terminals}):
        yield label(lang, "day", date=wanted.isoformat(), begin=moment(begin), end=moment(end))
    yield ""
    every = [(terminal, due) for terminal in terminals for due in terminal["moments"]]
    heads = [label(lang, name) for name in HEADS]
    rows = [_row(terminal["tid"], due, lang) for terminal, due in every]
    yield table(heads, rows, colours=[COLOURS.get(due["status"], "") for _, due in every])
    for terminal, due in every:
        for one in due["causes"]:
            said = cause(lang, one)
            yield ""
            yield label(lang, "cause", tid=terminal["tid"], due=moment(due["due_at"]), cause=said)
            for row in one["evidence"]:
                at, what = moment(row["at"], seconds=True), event(lang, row)
                yield f"    {printable(label(lang, 'evidence', row=row['sequence'], at=at, what=what))}"
    if all(terminal["good"] for terminal in terminals):
        yield ""
        yield paint(label(lang, "day_good"), "green")


def _row(tid: str, due: View, lang: Lang) -> list[str]:
    settled = moment(due["settled_at"])
    if settled and due["late_s"]:
        settled = label(lang, "late_by", at=settled, late=duration(due["late_s"], lang))
    stake = due["at_stake"]
    at_stake = ""
    if stake and stake["count"]:
        at_stake = label(lang, "stake", **{**stake, "oldest": moment(stake["oldest_at"])})
    batch = f"{due['batch']:06d}" if due["batch"] else ""
    return [tid, moment(due["due_at"]), day(lang, due), batch, settled, at_stake]
