"""Key operations while no daemon runs: under the journal's lock, with the journal's own records, as its owner.

Root can read the machine key, which the service's user cannot; what is written must belong to that user all the same.
So the key is read first, and then everything is done as the owner of the state folder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posd.config.keyhome import key_store
from posd.core.records.keys import KeyRecord
from posd.daemon.clock import SystemClock
from posd.daemon.keys.custody import Custody
from posd.daemon.station_lane import station_row
from posd.journal.opening import open_store
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from posd.settings import Settings

ROOT = 0


@contextmanager
def custody_beside(settings: Settings, data_keys: Path, journal: Path) -> Iterator[Custody]:
    """Raises ConfigError where a posd runs (it has the lock), or keys or journal cannot be used."""
    clock = SystemClock()
    machine_key = load_machine_key(settings.machine_key_file)
    with acting_for(settings.state_dir):
        sealer = DataKeys(data_keys, machine_key)
        chain, digest = machine_key.derive("chain"), machine_key.derive("digest")
        limits = settings.journal
        journal_store = open_store(
            *(journal, chain, digest, sealer),
            ballast_bytes=limits.ballast_bytes,
            free_bytes_min=limits.free_bytes_min,
        )
        try:

            async def remember(record: KeyRecord) -> None:
                journal_store.write([[station_row(record, clock.now().wall_ms)]])

            keys = key_store(settings, machine_key)
            try:
                yield Custody(settings, keys, remember, clock.now)
            finally:
                keys.close()
            journal_store.sync_anchor()
        finally:
            journal_store.close()


@contextmanager
def acting_for(folder: Path) -> Iterator[None]:
    """Root does what follows as the owner of `folder`; anybody else as himself."""
    status = folder.stat() if folder.exists() else None
    if os.geteuid() != ROOT or status is None or status.st_uid == ROOT:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(ROOT)
        os.setegid(ROOT)
        os.setgroups(groups)
