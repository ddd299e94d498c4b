"""SIGHUP: the configuration is read again and checked as at a start. Impossible: refused whole, and what runs stays.

What may change while posd runs counts at once, what may not is named and takes a restart (config/changes.py). Nothing
of it is ever replayed (D5): the journal has the names of what changed, and no value.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from posd.config import load_document
from posd.config.changes import Changes, compare
from posd.config.file import contradictions
from posd.config.machine import check_environment
from posd.daemon.log import alert, log
from posd.daemon.recover import configured_away, owes
from posd.daemon.runner import LaneRunner
from posd.daemon.shown.settings_view import SettingsShown
from posd.daemon.station_lane import Reread
from posd.errors import ConfigError
from posd.settings import Settings
from posd.values import Tid
from posd.yamlmarks import ConfigProblems, Document, Problem

SAID_MAX = 20
"""Problems of one file that are alerted; the file has them all."""


class Owner(Protocol):
    """The daemon."""

    @property
    def settings(self) -> Settings: ...
    @property
    def lanes(self) -> Mapping[Tid, LaneRunner]: ...
    def tell(self, item: Reread) -> None: ...


class Reload:
    """Of one daemon, for the file at `path`."""

    def __init__(self, path: Path, owner: Owner, prepare: Callable[[Settings], Callable[[], None]]) -> None:
        self._path, self._owner, self._prepare = path, owner, prepare
        self.shown = SettingsShown()

    def read(self) -> None:
        """Take what can be taken, or refuse it. Never raises for what a file says."""
        try:
            changes = self._changes()
            apply = self._prepare(changes.settings)
        except ConfigError as error:
            self._refuse(error)
            return
        apply()
        self.shown = SettingsShown(restart=changes.restart)
        log.info("settings_read", at_once=list(changes.at_once), restart_needed=list(changes.restart))
        self._owner.tell(Reread(changes.at_once, changes.restart, ""))

    def _changes(self) -> Changes:
        """Raises ConfigError: unreadable, impossible, not for this machine, or without a terminal that owes (D35)."""
        settings, document = load_document(self._path)
        problems = [*check_environment(settings, document), *self._forgotten(settings, document)]
        if problems:
            raise ConfigProblems(problems)
        changes = compare(self._owner.settings, settings)
        if contradictions(changes.settings, document):
            return changes.nothing_at_once(self._owner.settings)
        return changes

    def _forgotten(self, settings: Settings, document: Document) -> list[Problem]:
        configured = {terminal.tid for terminal in settings.terminals}
        found = []
        for tid, runner in self._owner.lanes.items():
            engine = runner.lane.engine
            why = runner.fenced or owes(engine.state, engine.rules)
            if tid not in configured and why:
                found.append(document.problem(("terminals",), *configured_away(tid, why)))
        return found

    def _refuse(self, error: ConfigError) -> None:
        lines = tuple(str(error).splitlines())
        self.shown = SettingsShown(lines, self.shown.restart)
        for line in lines[:SAID_MAX]:
            alert("settings_refused", because=line, to_do="what runs stays; posd check-config, then reload again")
        self._owner.tell(Reread((), (), lines[0]))
