"""Where a command finds what it talks about: the settings, the running daemon, or else the journal.

Commands that only read fall back to the journal when no daemon runs, and say so; commands that change something never
do.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from posd.cli.screen import Progress, note
from posd.config import load
from posd.daemon.clock import SystemClock
from posd.daemon.control.arguments import require_good
from posd.daemon.control.server import NoDaemon, call
from posd.daemon.shown.offline import OfflineJournal
from posd.daemon.shown.questions import no_terminal
from posd.daemon.shown.views import View
from posd.errors import StorageFailed
from posd.settings import Settings
from posd.values import Tid


def settings_at(config: Path, tid: str | None = None) -> Settings:
    """The settings in the file; with `tid`, only if they know that terminal. Raises ConfigError."""
    settings = load(config)
    known = {Tid(terminal.tid): terminal for terminal in settings.terminals}
    if tid is not None and Tid(tid) not in known:
        raise no_terminal(tid, known)
    return settings


def ask(settings: Settings, verb: str, args: Mapping[str, Any]) -> View:
    """The answer to a verb that only reads. Raises ControlFailed, ConfigError, StorageFailed."""
    given = {name: value for name, value in args.items() if value is not None}
    try:
        return call(settings.control_socket, verb, given)
    except NoDaemon:
        note(f"no daemon answers on {settings.control_socket}; this is what the journal says")
    with Progress("reading the journal", "records") as progress, open_journal(settings, progress) as journal:
        return journal.answer(verb, given)


def command(
    settings: Settings,
    verb: str,
    args: Mapping[str, Any],
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> View:
    """Have the daemon do what `verb` says.

    Raises ConfigError for misuse, whether a daemon runs or not; NoDaemon, ControlFailed.
    """
    given = require_good(verb, {name: value for name, value in args.items() if value is not None})
    try:
        return call(settings.control_socket, verb, given, on_progress=on_progress)
    except NoDaemon:
        if "id" in given:
            _require_known(settings, given["id"])
        raise


def _require_known(settings: Settings, name: str) -> None:
    """Raises ConfigError when the journal can say that no daemon would know this transaction either."""
    try:
        with open_journal(settings) as journal:
            journal.show(name)
    except StorageFailed:
        return


def open_journal(settings: Settings, progress: Progress | None = None) -> OfflineJournal:
    """The journal, for reading; safe beside a running daemon."""
    now = SystemClock().now()
    return OfflineJournal(settings, now) if progress is None else OfflineJournal(settings, now, progress.tell)
