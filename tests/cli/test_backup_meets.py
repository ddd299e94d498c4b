"""`posd backup` where it meets what was built apart from it: ended journals, the archive, rotations, clocks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.daemon.moved import has_moved
from posd.journal.backups.sets import kept, was_used

Posd = Callable[..., Any]


@pytest.fixture
def backups(place: Any) -> Path:
    text = place.config.read_text()
    place.config.write_text(f"{text}backup: {{path: backups, keys_to: copies, keep: 5}}\n")
    for name in ("backups", "copies"):
        (place.folder / name).mkdir()
    place.runner.sells(1000)
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


# --- copies of data keys ---------------------------------------------------------------------------------------------


def test_d29_before_the_first_data_key_there_is_nothing_to_copy(place: Any, posd: Posd, backups: Path) -> None:
    assert not (place.settings.state_dir / "keys").exists()
    assert told(posd, "backup", "create")["keys"] == {"copied": 0, "destroyed": 0, "lost": []}
