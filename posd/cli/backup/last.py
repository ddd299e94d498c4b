"""What became of the last backup and of the last proof: a small file in the state folder, for `posd doctor`.

Written on a best-effort basis: it must never make a good backup fail, and nothing but a word to a person hangs on it.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

LAST_FILE = "backup.json"
FILE_MODE = 0o600


class Last(Struct, frozen=True):
    """One run. `trouble` empty: it was good."""

    at_ms: int
    name: str = ""
    trouble: str = ""


class LastRuns(Struct, frozen=True):
    """The newest run of each."""

    create: Last | None = None
    verify: Last | None = None


def last_runs(state_dir: Path) -> LastRuns:
    """What is known; nothing, where nothing can be read."""
    try:
        return msgspec.json.decode((state_dir / LAST_FILE).read_bytes(), type=LastRuns)
    except (OSError, msgspec.MsgspecError):
        return LastRuns()


def note_run(state_dir: Path, *, create: Last | None = None, verify: Last | None = None) -> None:
    """Remember a run."""
    known = last_runs(state_dir)
    now = LastRuns(create or known.create, verify or known.verify)
    path = state_dir / LAST_FILE
    draft = path.with_suffix(".new")
    with suppress(OSError):
        draft.write_bytes(msgspec.json.encode(now) + b"\n")
        os.chmod(draft, FILE_MODE)
        owner = state_dir.stat()
        if os.geteuid() == 0:
            os.chown(draft, owner.st_uid, owner.st_gid)  # so that the service can write it too
        os.replace(draft, path)
