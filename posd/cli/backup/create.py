"""`posd backup create`: one more backup, beside the running daemon or a stopped one.

It runs in a process of its own and reads the journal as `posd status` does (D30): whatever becomes of it, the daemon
does not notice. With `final` the journal itself is ended: it lives on where this backup is restored.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from posd.cli import exit_status
from posd.cli.backup.last import Last, note_run
from posd.cli.backup.moving import end_journal, go_on
from posd.cli.backup.parts import Parts, parts_of, size, without
from posd.cli.backup.shipping import ship
from posd.cli.backup.standing import ended_batches, standing
from posd.cli.screen import Progress, note, print_json, printable
from posd.core.payload import FOLD_VERSION
from posd.daemon.clock import SystemClock
from posd.daemon.moved import has_moved
from posd.daemon.shown.questions import version
from posd.errors import ConfigError, PosdError, StorageFailed
from posd.journal.backups.making import Made, make
from posd.journal.backups.manifest import Manifest
from posd.journal.backups.owner import give_to_owner
from posd.journal.backups.sets import alone, keep_newest, kept, left_out, mark_carried, was_carried
from posd.journal.chain import Chain
from posd.journal.segment import ARCHIVE_FOLDER
from posd.security.keycopies import Kept, keep_copies
from posd.security.machine import load_machine_keys
from posd.security.vault import DataKeys


@dataclass(frozen=True, slots=True)
class Done:
    """What a run came to."""

    manifest: Manifest
    folder: Path
    removed: list[str]
    keys: Kept | None
    carried: bool
    took_s: float
    left_out: tuple[str, ...]
    """Archived months that are elsewhere."""


def create_command(config: Path, final: bool, by: str | None, as_json: bool) -> int:
    """Make one; the exit status says whether it is whole, kept and carried."""
    if final and not (by or "").strip():
        raise ConfigError("backup create --final ends the journal of this machine: say who wants it with --by")
    parts = parts_of(config)
    try:
        done = _create(parts, by if final else None, quiet=as_json)
    except PosdError as error:
        note_run(parts.settings.state_dir, create=Last(SystemClock().now().wall_ms, trouble=str(error)))
        raise
    note_run(parts.settings.state_dir, create=Last(SystemClock().now().wall_ms, done.manifest.name))
    if as_json:
        print_json(_view(done))
    else:
        _show(done, parts)
    return exit_status.GOOD


def _create(parts: Parts, final_by: str | None, quiet: bool) -> Done:
    clock, settings = SystemClock(), parts.settings
    begun_s = clock.monotonic_s()
    chain = Chain(parts.keys.chain)
    with alone(parts.path), _ended(parts, final_by), Progress("copying the journal", "rows") as progress:
        made = Made(clock.now().wall_ms, version(), parts.machine_key.id, FOLD_VERSION, final_by is not None)
        manifest = make(
            parts.journal, parts.path, made, parts.keys, lambda copy: standing(settings, copy, chain), progress.tell
        )
        folder = parts.path / manifest.name
        give_to_owner(parts.path, parts.path)
        keys, removed = _follow(parts, manifest)
    took_s = clock.monotonic_s() - begun_s
    return Done(manifest, folder, removed, keys, bool(settings.backup.command), took_s, left_out(folder, manifest))


@contextmanager
def _ended(parts: Parts, by: str | None) -> Iterator[None]:
    """With `by`, the journal is ended before it is copied; if that fails, it goes on, unless it was ended before."""
    if by is None:
        if has_moved(parts.journal):
            raise ConfigError(
                f"journal: {parts.journal}: a final backup ended it, and nothing came after; --final makes that anew"
            )
        yield
        return
    ended_now = end_journal(parts, by)
    try:
        yield
    except BaseException as error:
        if ended_now:
            _take_back(parts, by, error)
        raise


def _take_back(parts: Parts, by: str, because: BaseException) -> None:
    try:
        go_on(parts, by, "the final backup could not be made")
    except PosdError as error:
        what = f"{because}; then {error}: the journal stays ended; posd backup take-back when that is mended"
        raise StorageFailed(what) from because


def _follow(parts: Parts, manifest: Manifest) -> tuple[Kept | None, list[str]]:
    """What follows a whole backup: copies of the keys, the other place, and old ones go.

    What cannot be done keeps the rest from nothing: a place that is away for weeks must not fill this disk. Raises
    StorageFailed, for all of it.
    """
    troubles: list[str] = []
    keys = None
    with _told_later(troubles):
        keys = copy_keys(parts)
    with _told_later(troubles):
        _carry(parts, manifest)
    removed = keep_newest(parts.path, parts.settings.backup.keep, manifest.name)
    if troubles:
        raise StorageFailed("; and ".join(troubles))
    return keys, removed


@contextmanager
def _told_later(troubles: list[str]) -> Iterator[None]:
    try:
        yield
    except PosdError as error:
        troubles.append(str(error))


def _carry(parts: Parts, manifest: Manifest) -> None:
    """To another place, if the settings say how: the backup, and the segments that no backup before has carried there.

    Raises StorageFailed: the backup is whole all the same, here.
    """
    backup = parts.settings.backup
    if not backup.command:
        return
    before = [one.manifest for one in kept(parts.path) if one.manifest is not None and was_carried(one.folder)]
    there = {segment.name for one in before for segment in one.segments}
    segments = [parts.path / ARCHIVE_FOLDER / one.name for one in manifest.segments if one.name not in there]
    ship(backup.command, [*segments, parts.path / manifest.name], backup.command_timeout_s)
    mark_carried(parts.path / manifest.name)


def copy_keys(parts: Parts) -> Kept | None:
    """Bring the copies of the data keys in step; None: there is no place for them. The caller holds `sets.alone`.

    Raises StorageFailed.
    """
    copies = parts.settings.backup.keys_to
    if copies is None:
        return None

    def opens(key_id: str) -> bool:  # asked anew each time: a rotation may be under way
        return DataKeys(parts.data_keys, *load_machine_keys(parts.settings.machine_key_file)).can_open(key_id)

    kept_keys = keep_copies(parts.data_keys, copies, ended_batches(parts.journal, Chain(parts.keys.chain)), opens)
    give_to_owner(copies, copies)
    return kept_keys


def _view(done: Done) -> dict[str, object]:
    manifest, keys = done.manifest, done.keys
    return {
        "name": manifest.name,
        "folder": str(done.folder),
        "rows": manifest.rows,
        "head": manifest.head_sequence,
        "bytes": manifest.size,
        "final": manifest.final,
        "without": list(done.left_out),
        "removed": done.removed,
        "carried": done.carried,
        "keys": None if keys is None else asdict(keys),
        "took_s": round(done.took_s, 3),
    }


def _show(done: Done, parts: Parts) -> None:
    manifest = done.manifest
    print(
        printable(
            f"{done.folder}: {manifest.rows:,} rows up to {manifest.head_sequence}, {size(manifest.size)}, "
            f"read back, in {done.took_s:.1f} s"
        )
    )
    if (newest := kept(done.folder.parent)[-1].name) != manifest.name:
        note(f"{newest} is taken for newer: a clock is or was wrong; remove it, or name the backup to restore")
    if done.left_out:
        note(without(done.left_out))
    if done.keys is not None:
        print(f"data keys: {done.keys.copied} copied, {done.keys.destroyed} destroyed")
        _note_keys(done.keys, parts)
    if done.carried:
        print("carried by backup.command")
    for name in done.removed:
        print(f"removed: {name} (backup.keep)")
    if manifest.final:
        note("this journal is ended: posd does not start on it any more; restore the backup on the other machine")


def _note_keys(keys: Kept, parts: Parts) -> None:
    """What is wrong with the keys here; the journal is good, so nothing has to be restored for that."""
    copies, here = parts.settings.backup.keys_to, parts.data_keys
    if keys.lost:
        note(f"{len(keys.lost)} data key(s) are only in the copies: lost here? cp -an {copies}/*.key {here}/")
    if keys.damaged:
        names = ", ".join(f"{key_id}.key" for key_id in keys.damaged)
        note(f"damaged in {here}, or of another machine key: {names}; their copies in {copies} were left as they are")
