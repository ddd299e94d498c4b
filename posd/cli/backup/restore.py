"""`posd backup restore`: puts a backup in the place of the journal, marked so that nothing of what came after it is
done twice or forgotten. The journal that was there is moved aside, never overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from posd.cli import exit_status
from posd.cli.backup.moving import opened
from posd.cli.backup.parts import Parts, parts_of, without
from posd.cli.backup.proof import judged
from posd.cli.backup.unreadable import Unreadable, bring_keys, unreadable
from posd.cli.screen import note, paint, print_json, printable
from posd.core.restored import STAN_GAP
from posd.core.rules import Rules
from posd.core.state import State
from posd.core.station import JournalRestored
from posd.daemon.clock import SystemClock
from posd.daemon.control.arguments import who
from posd.daemon.control.peer import this_user
from posd.daemon.dialect import profile_of
from posd.daemon.restoring import Jump, Marked, mark_newest, mark_older
from posd.daemon.rules import rules_of
from posd.errors import ConfigError, StorageFailed
from posd.journal.backups.manifest import Manifest, differing, read_manifest
from posd.journal.backups.owner import give_to_owner
from posd.journal.backups.placing import Restoring, interrupted, is_there, place, require_place
from posd.journal.backups.sets import copy_set, damaged_segments, find, left_out, mark_used, was_used, went_on
from posd.journal.connect import JOURNAL_FILE, SCHEMA_VERSION, open_reader, read_head, read_identity
from posd.journal.segment import ARCHIVE_FOLDER
from posd.security.machine import NEXT
from posd.values import STAN_MAX, Now, Stan, Tid


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was said on the command line."""

    name: str | None
    move_aside: bool = False
    stan_gap: int | None = None
    last_stans: Sequence[str] = ()
    keys_from: Path | None = None
    by: str | None = None
    without_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to. `why_older`: why a final backup is not the newest state after all."""

    manifest: Manifest
    newest: bool
    why_older: str
    aside: Path | None
    marked: list[Marked]
    keys_brought: int
    unreadable: Unreadable
    left_out: tuple[str, ...]
    """Archived months that the backup has not."""


def restore_command(config: Path, wanted: Wanted, as_json: bool) -> int:
    """Restore one. Status 1: it is an older journal, and a person has to reconcile what is not known."""
    by = who("backup restore", {"by": wanted.by}) if wanted.by is not None else ""
    parts = parts_of(config)
    jump = Jump(wanted.stan_gap or STAN_GAP, _last_stans(wanted.last_stans, parts))
    done = _restore(parts, wanted, jump, by)
    if as_json:
        print_json(_view(done, parts))
    else:
        _show(done, parts)
    return exit_status.GOOD if done.newest and not done.unreadable.keys else exit_status.FINDINGS


def _last_stans(words: Sequence[str], parts: Parts) -> Mapping[Tid, Stan]:
    known = {terminal.tid for terminal in parts.settings.terminals}
    found: dict[Tid, Stan] = {}
    for word in words:
        tid, _, number = word.partition("=")
        if tid not in known or not number.isdecimal() or not 1 <= int(number) <= STAN_MAX:
            raise ConfigError(f"--last-stan takes TID=N, with a terminal of the configuration: {word[:40]!r}")
        found[Tid(tid)] = Stan(int(number))
    return found


def _restore(parts: Parts, wanted: Wanted, jump: Jump, by: str) -> Restored:
    folder = find(parts.settings.backup.path, wanted.name)
    manifest = _believed(folder, parts, wanted.without_damaged)
    before = interrupted(parts.journal)
    require_place(parts.journal, wanted.move_aside or before is not None)
    now = SystemClock().now()
    why_older = _why_older(folder, manifest, parts, before)
    newest = not why_older
    marked: list[Marked] = []
    record = JournalRestored(manifest.name, manifest.head_at_ms, newest, by, this_user())

    def fill(staged: Path) -> None:
        _copy(folder, manifest, staged)
        with opened(parts, staged) as store:
            if newest:
                mark_newest(store, record, now.wall_ms)
            else:
                rules, usual = _rules(parts)
                first = parts.settings.host.nac.batch_number_first
                marked.extend(mark_older(store, rules, usual, record, jump, now, first))
            store.sync_anchor()
        give_to_owner(staged, parts.settings.state_dir)
        if newest and not was_used(folder) and not mark_used(folder, now.wall_ms):
            raise StorageFailed(
                f"backup: {folder}: it has to be marked as restored; copy it to where that can be written"
            )

    aside = place(parts.journal, Restoring(manifest.name, newest, _aside(parts.journal, now)), fill)
    if aside is None and before is not None and before.aside:
        aside = parts.journal.with_name(before.aside)  # the restore that was ended half way had moved it
    brought = bring_keys(parts, wanted.keys_from)
    missing = left_out(folder, manifest)
    return Restored(manifest, newest, why_older, aside, marked, brought, unreadable(parts), missing)


def _believed(folder: Path, parts: Parts, without_damaged: bool) -> Manifest:
    """What is to be restored: all of it, or with `without_damaged` all but archived months that are not as posd wrote
    them. Raises ConfigError (a newer journal), StorageFailed (anything that is not as posd wrote it)."""
    manifest = read_manifest(folder)
    if manifest.schema > SCHEMA_VERSION:
        known = f"its journal has schema {manifest.schema}, this posd knows {SCHEMA_VERSION}"
        raise ConfigError(f"{folder}: {known}; restore it with the posd that made it, or a newer one")
    for finding in judged(folder, manifest, parts):
        raise StorageFailed(f"backup: {finding}; it is not restored, use another backup")
    bad = damaged_segments(folder, manifest)
    if bad and not without_damaged:
        what = f"{next(iter(bad.values()))}: of an archived month; restore it from another copy of this backup"
        raise StorageFailed(f"backup: {what}, or without that month: --without-damaged-months")
    return msgspec.structs.replace(manifest, segments=tuple(one for one in manifest.segments if one not in bad))


def _why_older(folder: Path, manifest: Manifest, parts: Parts, before: Restoring | None) -> str:
    """Why something may have come after this backup; empty: nothing has."""
    if not manifest.final:
        return "it was made while its journal went on"
    if before is not None and before.backup == manifest.name:
        return "" if before.newest else "a restore of it was begun before as of an older one"
    if was_used(folder):
        return "it was restored before, or taken back, and its journal may have gone on"
    if is_there(parts.journal) and (more := _rows_beyond(parts.journal, manifest)):
        return f"the journal here has {more} row(s) more"
    for path in {folder.parent, parts.settings.backup.path or folder.parent}:
        if later := went_on(path, manifest):
            return f"{later} was made of the same journal after it"
    return ""


def _rows_beyond(journal: Path, manifest: Manifest) -> int:
    """How many rows the journal in the place has after the backup's last; 0: none, or it cannot be asked."""
    try:
        connection = open_reader(journal / JOURNAL_FILE)
    except (ConfigError, StorageFailed):
        return 0
    try:
        identity = read_identity(connection)
        head = read_head(connection, identity.base)
    except StorageFailed:
        return 0
    finally:
        connection.close()
    same = identity.journal_id.hex() == manifest.journal_id
    return max(head.sequence - manifest.head_sequence, 0) if same else 0


def _aside(journal: Path, now: Now) -> str:
    """A free name beside the place."""
    return f"{journal.name}.before-restore-{now.wall_ms}"


def _copy(folder: Path, manifest: Manifest, staged: Path) -> None:
    copy_set(folder, manifest, staged)
    for finding in differing(staged, manifest.files):
        raise StorageFailed(f"backup: the copy is not what was read: {finding}")
    for finding in differing(staged / ARCHIVE_FOLDER, tuple(one.in_journal for one in manifest.segments)):
        raise StorageFailed(f"backup: the copy is not what was read: {finding}")


def _rules(parts: Parts) -> tuple[dict[Tid, Rules], Rules]:
    profile = profile_of(parts.settings)
    rules = {Tid(one.tid): rules_of(parts.settings, one, profile) for one in parts.settings.terminals}
    return rules, next(iter(rules.values()))


# --- told ------------------------------------------------------------------------------------------------------------


def _view(done: Restored, parts: Parts) -> dict[str, object]:
    return {
        "backup": done.manifest.name,
        "journal": str(parts.journal),
        "rows": done.manifest.rows,
        "newest": done.newest,
        "why_older": done.why_older,
        "moved_aside": str(done.aside) if done.aside is not None else None,
        "terminals": [_lane(one) for one in done.marked],
        "without": list(done.left_out),
        "keys_brought": done.keys_brought,
        "unreadable": {
            "keys": list(done.unreadable.keys),
            "of_another_machine_key": list(done.unreadable.of_another),
            "card_numbers": done.unreadable.rows,
        },
    }


def _lane(one: Marked) -> dict[str, object]:
    state = one.state
    if state is None or state.gap is None:
        return {"tid": one.tid, "fenced": True}
    return {
        "tid": one.tid,
        "first_stan": state.gap.first_stan,
        "next_stan": state.gap.next_stan,
        "batch_number": state.gap.first_number,
        "held": state.held(),
    }


def _show(done: Restored, parts: Parts) -> None:
    manifest = done.manifest
    print(printable(f"{parts.journal}: restored from {manifest.name}: {manifest.rows:,} rows, up to {_at(manifest)}"))
    if done.aside is not None:
        print(printable(f"the journal that was there is now {done.aside}"))
    if done.left_out:
        note(f"{without(done.left_out)}, or put them into {parts.journal / ARCHIVE_FOLDER}")
    if done.keys_brought:
        print(f"data keys: {done.keys_brought} brought back from their copies")
    if done.unreadable.keys:
        lost = f"{done.unreadable.rows} card number(s) of {len(done.unreadable.keys)} data key(s)"
        note(f"{lost} cannot be read: their keys were destroyed with their time, or lost (--keys-from brings copies)")
    if done.unreadable.of_another:
        file = parts.settings.machine_key_file
        note(
            f"{len(done.unreadable.of_another)} of these keys are here and open under another machine key: move {file} "
            f"to {file.name}{NEXT}, put the old key in its place, then: posd keys rotate"
        )
    if done.newest:
        print(
            paint(
                "Nothing came after it: posd goes on where it ended. Next: systemctl start posd, posd doctor", "green"
            )
        )
        return
    print(paint(printable(f"It is an older journal: {done.why_older}."), "yellow"))
    for one in done.marked:
        if one.state is not None and one.state.gap is not None:
            print(printable(f"  {one.tid}: {_numbers(one.state)}"))
        else:
            print(printable(f"  {one.tid}: fenced before, and still"))
    print("Next: systemctl start posd; posd status; posd restore-gap list: what to compare with the acquirer")


def _numbers(state: State) -> str:
    gap = state.gap
    assert gap is not None
    return (
        f"goes on with trace number {gap.next_stan:06d}; {gap.first_stan:06d} and later, from batch "
        f"{gap.first_number:06d} on, may have been used; {len(state.held())} owed before are held"
    )


def _at(manifest: Manifest) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(manifest.head_at_ms / 1000, UTC).isoformat(timespec="seconds")
