"""`posd doctor`: how old the newest backup is, and whether the last run and the last proof were good."""

import os
from collections.abc import Iterator

from posd.cli.backup.last import last_runs
from posd.cli.doctor.machine import GOOD, NOTE, WARNING, Found
from posd.cli.setup.place import Place
from posd.daemon.clock import SystemClock
from posd.errors import ConfigError
from posd.journal.backups.sets import kept
from posd.settings import Settings

HOUR_MS = 3_600_000
PROOF_DAYS = 8
"""posd-verify.timer proves the newest every week."""


def backups(settings: Settings, place: Place) -> Iterator[Found]:
    """By what lies in backup.path, and by what the last runs came to."""
    path = settings.backup.path
    if path is None:
        yield Found("backup", NOTE, "backup_none")
        return
    if os.geteuid() != 0 and not os.access(path, os.R_OK | os.X_OK):
        yield Found("backup", NOTE, "backup_unseen")
        return
    runs = last_runs(settings.state_dir)
    for run, code in ((runs.create, "backup_failed"), (runs.verify, "backup_unproven")):
        if run is not None and run.trouble:
            yield Found("backup", WARNING, code, {"why": run.trouble})
    try:
        whole = [one.manifest for one in kept(path) if one.manifest is not None and not one.trouble]
    except ConfigError as error:
        yield Found("backup", WARNING, "backup_failed", {"why": error})
        return
    if not whole:
        yield Found("backup", WARNING, "backup_missing", {"path": path})
        return
    hours = _hours_since(whole[-1].made_at_ms)
    old = bool(settings.backup.alert_hours) and hours > settings.backup.alert_hours
    make, prove = (timer.removesuffix(".timer") for timer in place.timers)
    facts = {"hours": hours, "name": whole[-1].name, "most": settings.backup.alert_hours, "unit": make}
    yield Found("backup", WARNING if old else GOOD, "backup_old" if old else "backup_good", facts)
    days = _hours_since(runs.verify.at_ms if runs.verify is not None else whole[0].made_at_ms) // 24
    if settings.backup.alert_hours and days > PROOF_DAYS:
        yield Found("backup", WARNING, "backup_unproven_long", {"days": days, "unit": prove})


def _hours_since(at_ms: int) -> int:
    return max(0, SystemClock().now().wall_ms - at_ms) // HOUR_MS
