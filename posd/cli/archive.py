"""`posd journal archive | archives`: closed months leave the database, through the daemon or beside a stopped one.

Nothing here decides what may go (daemon/archive/plan.py), and nothing is ever deleted that has no verified copy.
"""

from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.asking import settings_at
from posd.cli.screen import Progress, note, paint, print_json, printable, table
from posd.daemon.archive.plan import before_of
from posd.daemon.archive.segment_view import placed_view
from posd.daemon.clock import SystemClock
from posd.daemon.control.arguments import require_good
from posd.daemon.control.peer import this_user
from posd.daemon.control.server import NoDaemon, call
from posd.daemon.shown.offline import journal_folder
from posd.daemon.shown.views import View
from posd.journal.reader import JournalReader
from posd.settings import Settings

ARCHIVED = ("MONTH", "ROWS", "BYTES", "FIRST", "LAST", "FILE")
LISTED = (*ARCHIVED, "HEAD", "HERE")
HEAD_CHARACTERS = 16
SILENCE_S = 600.0
"""The longest that one piece of the work may take, such as planning over millions of rows on a slow disk."""


def archive_command(config: Path, before: str | None, keep: int, by: str | None, as_json: bool) -> int:
    """Move what can go, and say what and why not the rest."""
    settings = settings_at(config)
    zone = settings.schedule_of(settings.terminals[0]).zone
    month = _earlier(before_of(before, SystemClock().now().wall_ms, zone), keep)
    args = require_good("journal.archive", {"before": month, "by": by})
    with Progress("archiving", "rows") as progress:

        def tell(said: dict[str, Any]) -> None:
            progress.tell(said["rows"])

        try:
            said = call(settings.control_socket, "journal.archive", args, tell, SILENCE_S)
        except NoDaemon:
            note(f"no daemon answers on {settings.control_socket}; the journal is archived beside it")
            said = _beside(settings, month, zone, tell, by)
    if as_json:
        print_json(said)
    else:
        _show(said)
    return exit_status.GOOD


def _beside(settings: Settings, month: str, zone: str, tell: Any, by: str | None) -> View:
    """Under the journal's own lock, so that no daemon can start meanwhile."""
    from posd.daemon.archive.stopped import archive
    from posd.daemon.assemble import DATA_KEYS_FOLDER, store_of
    from posd.security.machine import load_machine_keys
    from posd.security.vault import DataKeys

    key, *earlier = load_machine_keys(settings.machine_key_file)
    store = store_of(settings, key, DataKeys(settings.state_dir / DATA_KEYS_FOLDER, key, *earlier))
    try:
        configured = frozenset(terminal.tid for terminal in settings.terminals)
        asking = this_user()
        return archive(store, configured, month, zone, SystemClock(), tell, (by or "").strip() or asking.name, asking)
    finally:
        store.close()


def _earlier(month: str, by: int) -> str:
    count = int(month[:4]) * 12 + int(month[5:]) - 1 - by
    return f"{count // 12:04d}-{count % 12 + 1:02d}"


def _show(said: View) -> None:
    if said["archived"]:
        print(table(ARCHIVED, [_cells(one) for one in said["archived"]], right=(1, 2, 3, 4)))
        before, now = said["database_bytes_before"], said["database_bytes"]
        print(f"the database had {before:,} bytes, and has {now:,}")
        if not said["gives_room_back"]:
            print("its free pages are used again; run this once with posd stopped, and they go back to the disk")
    else:
        print("nothing was archived")
    for held in said["held"]:
        print(paint(printable(f"{held['month']} stays: {held['why']}"), "yellow"))


def archives_command(config: Path, as_json: bool) -> int:
    """The segments that the journal knows. Status 1: one is not here."""
    with JournalReader(journal_folder(settings_at(config))) as reader:
        found = [placed_view(one) for one in reader.archived()]
    if as_json:
        print_json({"segments": found})
    elif not found:
        print("nothing is archived")
    else:
        colours = ["" if one["here"] else "yellow" for one in found]
        print(table(LISTED, [_listed(one) for one in found], right=(1, 2, 3, 4), colours=colours))
    return exit_status.GOOD if all(one["here"] for one in found) else exit_status.FINDINGS


def _cells(one: View) -> list[str]:
    numbers = [f"{one[name]:,}" for name in ("rows", "bytes")]
    return [one["month"], *numbers, str(one["first"]), str(one["last"]), one["file"]]


def _listed(one: View) -> list[str]:
    return [*_cells(one)[:-1], one["path"], one["head"][:HEAD_CHARACTERS], "yes" if one["here"] else "no"]
