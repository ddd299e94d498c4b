"""`posd backup` where it meets what was built apart from it: ended journals, the archive, rotations, clocks."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.cli.backup.moving import opened
from posd.cli.backup.parts import parts_of
from posd.core import events as e
from posd.core.engine import Engine
from posd.core.station import LineChanged
from posd.daemon.clock import SystemClock
from posd.daemon.moved import has_moved
from posd.daemon.recover import known, record_row
from posd.daemon.shown.offline import journal_folder
from posd.daemon.station_lane import station_row
from posd.journal.backups.sets import copy_set, kept, was_used
from posd.journal.contract import MessageRow
from posd.journal.reader import JournalReader
from posd.journal.segment import archive_folder
from posd.values import Now
from tests.cli.test_program import run
from tests.daemon.shop import OTHER_TID, TID, a_shop

Posd = Callable[..., Any]


@pytest.fixture
def backups(place: Any) -> Path:
    text = place.config.read_text()
    place.config.write_text(f"{text}backup: {{path: backups, keys_to: copies, keep: 5}}\n")
    for name in ("backups", "copies"):
        (place.folder / name).mkdir()
    return place.folder / "backups"


def told(posd: Posd, *words: str, status: int = 0) -> dict[str, Any]:
    ran = posd(*words, "--json")
    assert ran.status == status, (ran.out, ran.err)
    return dict(json.loads(ran.out))


def other_machine(place: Any) -> None:
    """The same settings and keys, and no journal yet."""
    place.config.write_text(place.config.read_text().replace("state_dir: state\n", "state_dir: elsewhere\n"))


# --- a journal that was ended ----------------------------------------------------------------------------------------


def test_a_final_backup_that_could_not_be_carried_is_never_the_newest_state(
    place: Any, posd: Posd, backups: Path
) -> None:
    """The journal goes on after it: restored as if nothing had followed, it would use trace numbers twice."""
    place.store.close()
    text = place.config.read_text()
    place.config.write_text(text.replace("keep: 5", 'keep: 5, command: ["/bin/false", "{file}"]'))
    assert posd("backup", "create", "--final", "--by", "Li Na").status == 3
    place.config.write_text(text)
    (final,) = kept(backups)
    assert not has_moved(place.settings.state_dir / "journal")
    assert was_used(final.folder)
    other_machine(place)
    done = told(posd, "backup", "restore", final.name, status=1)
    assert not done["newest"]
    assert "may have gone on" in done["why_older"]


def test_a_final_backup_that_was_taken_back_is_never_the_newest_state(place: Any, posd: Posd, backups: Path) -> None:
    place.store.close()
    told(posd, "backup", "create", "--final", "--by", "Li Na")
    ran = posd("backup", "take-back", "--by", "Li Na", "--reason", "the new box never ran")
    assert ran.status == 0
    assert "remove every copy" in ran.err
    assert [one["state"] for one in told(posd, "backup", "list")["backups"]] == ["final, spent"]
    other_machine(place)
    assert not told(posd, "backup", "restore", status=1)["newest"]


def test_of_two_final_backups_only_the_last_is_the_newest_state(place: Any, posd: Posd, backups: Path) -> None:
    place.store.close()
    first = told(posd, "backup", "create", "--final", "--by", "Li Na")["name"]
    assert told(posd, "backup", "create", "--final", "--by", "Li Na")["name"] != first
    assert [was_used(one.folder) for one in kept(backups)] == [True, False]


def test_a_second_final_backup_that_fails_takes_nothing_back(place: Any, posd: Posd, backups: Path) -> None:
    """The first may have been restored elsewhere."""
    place.store.close()
    told(posd, "backup", "create", "--final", "--by", "Li Na")
    place.config.write_text(place.config.read_text().replace("keep: 5", 'keep: 5, command: ["/bin/false", "{file}"]'))
    assert posd("backup", "create", "--final", "--by", "Li Na").status == 3
    assert has_moved(place.settings.state_dir / "journal")


def test_the_nightly_backup_of_an_ended_journal_hides_no_final_one(place: Any, posd: Posd, backups: Path) -> None:
    """`posd backup restore` without a name takes the newest, which has to be the final one."""
    place.store.close()
    told(posd, "backup", "create", "--final", "--by", "Li Na")
    nightly = posd("backup", "create")
    assert nightly.status == 2
    assert "a final backup ended it" in nightly.err
    other_machine(place)
    assert told(posd, "backup", "restore")["newest"]


def test_who_ended_took_back_and_restored_a_journal_stands_in_it(place: Any, posd: Posd, backups: Path) -> None:
    """The name that was typed, and the user of this machine; a restore in need may be without the first."""
    place.store.close()
    told(posd, "backup", "create", "--final", "--by", "Li Na")
    assert posd("backup", "take-back", "--by", "Wang Wei", "--reason", "the new box never ran").status == 0
    told(posd, "backup", "restore", "--move-aside", "--by", "Li Na", status=1)
    told(posd, "backup", "restore", "--move-aside", status=1)
    assert posd("backup", "restore", "--move-aside", "--by", " ").status == 2
    folders = sorted(place.settings.state_dir.glob("journal.before-restore-*"))
    said = []
    for folder in (*folders, journal_folder(place.settings)):
        with JournalReader(folder) as reader:
            kinds = ("journal_moved", "journal_taken_back", "journal_restored")
            said += [json.loads(row.payload) for row in reader.records() if row.kind in kinds]
    assert [one["by"] for one in said] == ["Li Na", "Wang Wei", "Li Na", "Li Na", "Li Na", ""]
    assert {one["who"]["uid"] for one in said} == {os.geteuid()}


def test_a_final_backup_is_not_the_newest_state_where_a_later_one_is_known(
    place: Any, posd: Posd, backups: Path
) -> None:
    """Restored from a stick, its journal went on; weeks later somebody takes the set that was left in backup.path."""
    place.store.close()
    final = told(posd, "backup", "create", "--final", "--by", "Li Na")["name"]
    stick = place.folder / "stick" / final
    shutil.copytree(backups / final, stick)
    other_machine(place)
    assert told(posd, "backup", "restore", str(stick))["newest"]
    later = told(posd, "backup", "create")["name"]
    shutil.rmtree(place.folder / "elsewhere")  # that disk dies
    done = told(posd, "backup", "restore", final, status=1)
    assert not done["newest"]
    assert done["why_older"] == f"{later} was made of the same journal after it"


# --- copies of data keys ---------------------------------------------------------------------------------------------


def test_d29_before_the_first_data_key_there_is_nothing_to_copy(place: Any, posd: Posd, backups: Path) -> None:
    assert not (place.settings.state_dir / "keys").exists()
    assert told(posd, "backup", "create")["keys"] == {"copied": 0, "destroyed": 0, "lost": [], "damaged": []}


# --- the archive -----------------------------------------------------------------------------------------------------

MONTH = "2026-03"


def archives(posd: Posd) -> int:
    """Move the month that is over; how many rows went."""
    (one,) = told(posd, "journal", "archive")["archived"]
    assert one["month"] == MONTH
    return int(one["rows"])


def more_of_the_month(place: Any) -> None:
    place.store.write([[station_row(LineChanged(up, ""), place.runner.clock.wall) for up in (False, True)]])


def end_gaps(place: Any) -> None:
    """A person has compared everything with the acquirer."""
    parts = parts_of(place.config)
    rules = a_shop(TID, OTHER_TID).lanes[TID].lane.engine.rules
    with opened(parts, parts.journal) as store:
        for tid in (TID, OTHER_TID):
            recovered = known(store, tid)
            assert recovered is not None
            engine, now = Engine(rules, recovered.state), SystemClock().now()
            for event in (
                e.AdmitAfterRestore("a", "Li Na", "the day's list", None, recovered.state.batch.number),
                e.ResolveGap("b", "Li Na", "the day's list"),
            ):
                draft = engine.handle(event, now)
                store.write([[record_row(draft.state, record, now.wall_ms) for record in draft.records]])
                engine.adopt(draft)


def test_d33_a_month_that_is_archived_again_takes_no_segment_from_a_backup(
    place: Any, posd: Posd, backups: Path
) -> None:
    """After the restore of an older backup the month has other rows, and the newer backup is what has the lost ones."""
    told(posd, "backup", "create")
    more_of_the_month(place)
    place.store.close()
    first = archives(posd)
    told(posd, "backup", "create")
    (oldest, newer) = kept(backups)
    told(posd, "backup", "restore", oldest.name, "--move-aside", status=1)
    end_gaps(place)
    assert archives(posd) < first
    told(posd, "backup", "create")
    assert len(list((backups / "archive").iterdir())) == 2
    for one in kept(backups):
        assert told(posd, "backup", "verify", one.name)["good"], one
    told(posd, "backup", "restore", newer.name, "--move-aside", status=1)
    assert posd("journal", "verify").status == 0
    (segment,) = told(posd, "journal", "archives")["segments"]
    assert segment["rows"] == first


def test_d33_a_segment_that_is_elsewhere_is_no_reason_to_have_no_backup(place: Any, posd: Posd, backups: Path) -> None:
    place.store.close()
    archives(posd)
    archive = archive_folder(journal_folder(place.settings))
    archive.rename(place.folder / "shelf")
    made = posd("backup", "create")
    assert made.status == 0, made.err
    assert f"without {MONTH}: archived, and elsewhere" in made.err
    proof = told(posd, "backup", "verify")
    assert (proof["good"], proof["without"]) == (True, [MONTH])
    done = told(posd, "backup", "restore", "--move-aside", status=1)
    assert done["without"] == [MONTH]
    assert posd("journal", "verify", "--segments-elsewhere").status == 0
    (place.folder / "shelf").rename(archive)
    assert posd("journal", "verify").status == 0
    assert told(posd, "backup", "create")["without"] == []
    archive.rename(place.folder / "shelf")
    assert told(posd, "backup", "create")["without"] == []  # the backup before has it
    assert told(posd, "backup", "verify")["without"] == []


def test_d33_a_damaged_segment_is_no_reason_to_have_no_backup(place: Any, posd: Posd, backups: Path) -> None:
    """And is never taken for the good copy that a backup before has."""
    place.store.close()
    archives(posd)
    (segment,) = archive_folder(journal_folder(place.settings)).iterdir()
    good = segment.read_bytes()
    segment.chmod(0o600)
    segment.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    told(posd, "backup", "create")
    assert not told(posd, "backup", "verify", status=1)["good"]
    segment.write_bytes(good)
    told(posd, "backup", "create")
    segment.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    told(posd, "backup", "create")
    assert told(posd, "backup", "verify")["good"]


def test_d29_card_numbers_in_segments_and_under_another_machine_key_are_named(
    place: Any, posd: Posd, backups: Path
) -> None:
    """The copies of data keys were made before a rotation, and the disk died after it."""
    card = {"request_id": "10000001/000001/000001/0200/000000", "secret": b"6225880123456789", "key_batch": 1}
    place.store.write([[MessageRow(TID, place.runner.clock.wall, "out", "host", "0200", "{}", b"raw", **card)]])
    place.store.close()
    archives(posd)
    told(posd, "backup", "create")
    path = place.folder / "machine.key"
    old = path.read_bytes()
    (place.folder / "copies").rename(place.folder / "unplugged")
    told(posd, "keys", "rotate", "--by", "Li Na")
    (place.folder / "unplugged").rename(place.folder / "copies")
    shutil.rmtree(place.settings.state_dir / "keys")
    done = told(posd, "backup", "restore", "--move-aside", status=1)
    assert done["keys_brought"] == 1
    assert done["unreadable"]["card_numbers"] == 1
    assert len(done["unreadable"]["of_another_machine_key"]) == 1
    said = posd("backup", "restore", "--move-aside").err
    assert "to machine.key.new, put the old key in its place, then: posd keys rotate" in said
    path.rename(path.with_name("machine.key.new"))
    path.write_bytes(old)
    path.chmod(0o600)
    assert posd("keys", "rotate", "--by", "Li Na").status == 0
    assert told(posd, "backup", "restore", "--move-aside", status=1)["unreadable"]["keys"] == []


def flip(path: Path) -> bytes:
    """One bit of a file, in its middle; what it was."""
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :])
    return good


def test_d33_a_segment_that_went_bad_beside_the_backups_is_copied_anew(place: Any, posd: Posd, backups: Path) -> None:
    """All backups rely on that one copy: the next run heals them all."""
    place.store.close()
    archives(posd)
    told(posd, "backup", "create")
    (copy,) = (backups / "archive").iterdir()
    good = flip(copy)
    said = posd("backup", "verify")
    assert said.status == 1
    assert "another content" in said.out
    told(posd, "backup", "create")
    assert copy.read_bytes() == good
    for one in kept(backups):
        assert told(posd, "backup", "verify", one.name)["good"]


def test_d33_a_month_that_is_lost_to_a_backup_keeps_nobody_from_the_rest_of_it(
    place: Any, posd: Posd, backups: Path
) -> None:
    """Reversals are owed in the newest rows; a damaged month of two years ago must not stand before them."""
    place.store.close()
    archives(posd)
    told(posd, "backup", "create")
    (copy,) = (backups / "archive").iterdir()
    flip(copy)
    newest = kept(backups)[-1].name
    refused = posd("backup", "restore", "--move-aside")
    assert refused.status == 3
    assert "another copy of this backup, or without that month: --without-damaged-months" in refused.err
    done = told(posd, "backup", "restore", "--move-aside", "--without-damaged-months", status=1)
    assert (done["backup"], done["without"]) == (newest, [MONTH])
    assert posd("journal", "verify", "--segments-elsewhere").status == 0
    assert "segments_not_here" in [one["code"] for one in told(posd, "status", status=1)["findings"]]
    aside = archive_folder(Path(done["moved_aside"]))
    shutil.copytree(aside, archive_folder(journal_folder(place.settings)))
    assert posd("journal", "verify").status == 0


def test_d33_without_a_good_copy_anywhere_a_backup_is_made_without_that_month(
    place: Any, posd: Posd, backups: Path
) -> None:
    """And says so; it can be restored."""
    place.store.close()
    archives(posd)
    told(posd, "backup", "create")
    (copy,) = (backups / "archive").iterdir()
    flip(copy)
    shutil.rmtree(archive_folder(journal_folder(place.settings)))
    assert told(posd, "backup", "create")["without"] == [MONTH]
    assert told(posd, "backup", "verify")["without"] == [MONTH]
    assert told(posd, "backup", "restore", "--move-aside", status=1)["without"] == [MONTH]


# --- carried to another place ----------------------------------------------------------------------------------------


def carrying(place: Any, *words: str) -> None:
    text = place.config.read_text().split(", command:")[0].rstrip().rstrip("}")
    place.config.write_text(f"{text}, command: {json.dumps([*words])}}}\n")


def test_what_could_not_be_carried_is_carried_with_the_next(place: Any, posd: Posd, backups: Path) -> None:
    """A segment belongs to all backups: left behind once, none of those at the other place could be restored."""
    far = place.folder / "far"
    far.mkdir()
    place.store.close()
    archives(posd)
    carrying(place, "/bin/false", "{file}")
    assert posd("backup", "create").status == 3
    carrying(place, "cp", "-r", "{file}", str(far))
    names = [told(posd, "backup", "create")["name"] for _ in range(2)]
    (segment,) = far.glob("*.segment")
    assert sorted(path.name for path in far.iterdir()) == sorted([*names, segment.name])
    shutil.rmtree(backups)
    backups.mkdir()
    scratch = ("--scratch", str(place.folder))
    for at in (segment, far / segment.name / segment.name, far / "archive" / segment.name):  # rsync, rclone, as here
        segment.rename(far / "moved")
        at.parent.mkdir(exist_ok=True)
        segment = (far / "moved").rename(at)
        for name in names:
            assert told(posd, "backup", "verify", str(far / name), *scratch)["good"]
        if at.parent.name == segment.name:
            segment.rename(far / "moved")
            at.parent.rmdir()
            segment = (far / "moved").rename(far / at.name)


def test_a_place_that_cannot_be_reached_for_weeks_fills_no_disk(place: Any, posd: Posd, backups: Path) -> None:
    place.config.write_text(place.config.read_text().replace("keep: 5", "keep: 2"))
    carrying(place, "/bin/false", "{file}")
    for _ in range(4):
        assert posd("backup", "create").status == 3
    assert len(kept(backups)) == 2


# --- the place of a restore ------------------------------------------------------------------------------------------


def test_d33_segments_without_their_database_are_never_removed(place: Any, posd: Posd, backups: Path) -> None:
    """They may be the only copy of their rows."""
    place.store.close()
    told(posd, "backup", "create")
    archives(posd)
    journal = journal_folder(place.settings)
    for path in journal.iterdir():
        if path.is_file():
            path.unlink()
    refused = posd("backup", "restore")
    assert refused.status == 2
    assert "--move-aside" in refused.err
    done = told(posd, "backup", "restore", "--move-aside", status=1)
    assert list(archive_folder(Path(done["moved_aside"])).glob("*.segment"))


def test_d30_nothing_else_begins_in_an_empty_place_meanwhile(
    place: Any, posd: Posd, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another restore, which would share its scratch folder, nor a posd with a new journal."""
    place.store.close()
    told(posd, "backup", "create")
    other_machine(place)
    tried: list[str] = []
    real = copy_set

    def meanwhile(*given: Any) -> None:
        monkeypatch.setattr("posd.cli.backup.restore.copy_set", real)
        tried.append(posd("backup", "restore").err)
        real(*given)

    monkeypatch.setattr("posd.cli.backup.restore.copy_set", meanwhile)
    told(posd, "backup", "restore", status=1)
    assert "another posd is running on it" in tried[0]
    assert posd("journal", "verify").status == 0


def test_a_journal_that_cannot_be_moved_aside_goes_on(
    place: Any, posd: Posd, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount point, say. Nothing was moved, so nothing stands in the way of posd's next start."""
    place.store.close()
    told(posd, "backup", "create")
    parts, rename = parts_of(place.config), os.rename

    def busy(source: Any, target: Any) -> None:
        if Path(source) == parts.journal:
            raise OSError(errno.EBUSY, "Device or resource busy")
        rename(source, target)

    monkeypatch.setattr(os, "rename", busy)
    said = posd("backup", "restore", "--move-aside")
    assert said.status == 3
    assert "resource busy" in said.err
    with opened(parts, parts.journal) as store:
        assert known(store, TID) is not None


def test_no_journal_is_begun_where_one_is_missed(place: Any, posd: Posd, backups: Path) -> None:
    """Its disk is not mounted, or died and the machine was installed anew: trace numbers would begin at 1 again."""
    place.store.close()
    name = told(posd, "backup", "create")["name"]
    journal, elsewhere = journal_folder(place.settings), place.folder / "not mounted"
    journal.rename(elsewhere)
    what = f"has backups of one, the newest is {name}: is its disk mounted? If it is lost"
    refused = posd("keys", "load", "--tid", TID, *components(place.folder))
    assert (refused.status, what in refused.err) == (3, True)
    started = run("run", place=place)
    assert (started.returncode, what in started.stderr) == (3, True)
    assert told(posd, "keys", "list")["keys"] == []
    assert not journal.exists(), "looking at keys begins none either"
    elsewhere.rename(journal)
    assert posd("keys", "load", "--tid", TID, *components(place.folder)).status == 0
    (place.folder / "machine.key").write_text("ab" * 32 + "\n")  # a new shop beside the old one's backups
    other_machine(place)
    assert posd("keys", "load", "--tid", TID, "--index", "1", *components(place.folder)).status == 0


def components(folder: Path) -> list[str]:
    words = []
    for number, digits in enumerate(("0123456789ABCDEFFEDCBA9876543210", "1A2A4C4C5E5E707083A2B5C4D5E6F701")):
        path = folder / f"component{number}"
        path.touch(mode=0o600)
        path.write_text(digits)
        words += ["--component-file", str(path), "--by", f"holder {number}"]
    return words


def test_a_restore_that_fails_leaves_an_empty_place_empty(place: Any, posd: Posd, backups: Path) -> None:
    place.runner.sells(1000)
    place.store.close()
    told(posd, "backup", "create")
    other_machine(place)
    assert posd("backup", "restore", "--last-stan", f"{TID}=1").status == 2
    assert not (place.folder / "elsewhere" / "journal").exists()


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_another_shops_backups_in_the_same_place_are_left_alone(place: Any, posd: Posd, backups: Path) -> None:
    place.config.write_text(place.config.read_text().replace("keep: 5", "keep: 1"))
    place.store.close()
    theirs = told(posd, "backup", "create")["name"]
    other_machine(place)
    with opened(parts_of(place.config), parts_of(place.config).journal):
        pass
    names = [told(posd, "backup", "create")["name"] for _ in range(2)]
    assert [one.name for one in kept(backups)] == [theirs, names[-1]]


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_a_clock_in_1970_does_not_remove_the_backup_that_was_just_made(
    place: Any, posd: Posd, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.config.write_text(place.config.read_text().replace("keep: 5", "keep: 1"))
    first = told(posd, "backup", "create")["name"]
    monkeypatch.setattr(SystemClock, "now", lambda self: Now(86_400_000, self.monotonic_s()))
    ran = posd("backup", "create")
    assert ran.status == 0
    assert f"{first} is taken for newer: a clock is or was wrong" in ran.err
    assert [one.name[:8] for one in kept(backups)] == ["19700102", first[:8]]
