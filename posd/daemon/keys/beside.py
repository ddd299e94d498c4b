"""Key operations while no daemon runs: under the journal's lock, with the journal's own records, as its owner.

Root can read the machine key, which the service's user cannot; what is written must belong to that user all the same.
So the key is read first, and then everything is done as the owner of the state folder.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from posd.config.keyhome import key_store
from posd.core.records.keys import KeyRecord
from posd.daemon.assemble import DATA_KEYS_FOLDER, store_of
from posd.daemon.clock import SystemClock
from posd.daemon.control.key_verbs import KeyVerbs
from posd.daemon.keys.custody import Custody
from posd.daemon.keys.rotation import Rotation
from posd.daemon.station_lane import station_row
from posd.journal.sqlite import SqliteStore
from posd.security.machine import load_machine_keys
from posd.security.vault import DataKeys
from posd.settings import Settings

ROOT = 0


@contextmanager
def key_verbs_beside(settings: Settings) -> Iterator[KeyVerbs]:
    """Raises ConfigError where a posd runs (it has the lock), or keys or journal cannot be used.

    The journal is opened for the first record: who only looks at keys begins none.
    """
    clock = SystemClock()
    machine_keys = load_machine_keys(settings.machine_key_file)
    with acting_for(settings.state_dir), ExitStack() as at_the_end:
        vault = DataKeys(settings.state_dir / DATA_KEYS_FOLDER, *machine_keys)

        @cache
        def store() -> SqliteStore:
            opened = store_of(settings, machine_keys[0], vault)
            at_the_end.callback(opened.close)
            return opened

        async def remember(record: KeyRecord) -> None:
            store().write([[station_row(record, clock.now().wall_ms)]])

        tmks = key_store(settings, *machine_keys)
        at_the_end.callback(tmks.close)
        custody = Custody(settings, tmks, remember, clock.now)
        yield KeyVerbs(settings, custody, Rotation(vault, tmks, machine_keys, remember))
        if store.cache_info().currsize:
            store().sync_anchor()


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
