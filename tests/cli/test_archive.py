"""`posd journal archive | archives`, and what the other commands say of a segment, and of one that is elsewhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.core.station import STATION
from posd.daemon.shown.offline import journal_folder
from posd.journal.connect import JOURNAL_FILE
from posd.journal.segment import archive_folder
from tests.daemon.shop import OTHER_TID, TID

Posd = Callable[..., Any]
MONTH = "2026-03"
"""When the shop of these tests opens its lanes."""


@pytest.fixture
def archived(posd: Posd, place: Any) -> Path:
    """The one month that is over is in a segment; the folder of the segments."""
    place.store.close()
    said = posd("journal", "archive", "--json")
    assert said.status == 0, said.err
    assert [one["month"] for one in json.loads(said.out)["archived"]] == [MONTH]
    return archive_folder(journal_folder(place.settings))


def test_beside_a_stopped_posd(posd: Posd, place: Any) -> None:
    place.store.close()
    said = posd("journal", "archive")
    assert said.status == 0
    assert "no daemon answers on" in said.err
    heads, row, sizes = said.out.splitlines()
    assert heads.split() == ["MONTH", "ROWS", "BYTES", "FIRST", "LAST", "FILE"]
    assert row.split()[0] == MONTH
    assert row.split()[-1] == f"{MONTH}.segment"
    assert sizes.startswith("the database had ")
    again = posd("journal", "archive")
    assert (again.status, again.out) == (0, "nothing was archived\n")


def test_who_archived_what_is_a_record(posd: Posd, place: Any) -> None:
    """Nothing of it before there is something to move."""
    place.store.close()
    assert posd("journal", "archive", "--before", MONTH, "--by", "Li Na").status == 0
    assert place.rows("months_archived") == []
    assert posd("journal", "archive", "--by", "Li Na").status == 0
    (row,) = place.rows("months_archived")
    said = json.loads(row.payload)
    assert (row.tid, said["months"], said["by"], said["who"]["uid"]) == ("station", [MONTH], "Li Na", os.geteuid())
    (segment,) = json.loads(posd("journal", "archives", "--json").out)["segments"]
    assert (segment["first"], segment["rows"]) == (1, said["rows"])
    assert posd("journal", "verify").status == 0


def test_months_that_are_to_stay(posd: Posd, place: Any) -> None:
    place.store.close()
    said = posd("journal", "archive", "--before", "2026-03")
    assert (said.status, said.out) == (0, "nothing was archived\n")
    said = posd("journal", "archive", "--keep", "240")
    assert (said.status, said.out) == (0, "nothing was archived\n")


@pytest.mark.parametrize("before", ["March", "2026", "2026-13", "9999-01"])
def test_a_bad_month_is_misuse(posd: Posd, place: Any, before: str) -> None:
    said = posd("journal", "archive", "--before", before)
    assert said.status == 2
    assert len(said.err.splitlines()) == 1


def test_another_posd_on_the_journal_is_named(posd: Posd, place: Any) -> None:
    said = posd("journal", "archive")
    assert said.status == 2
    assert "another posd is running on it" in said.err


def test_the_list_of_segments(posd: Posd, place: Any, archived: Path) -> None:
    said = posd("journal", "archives")
    assert said.status == 0
    assert said.out.splitlines()[1].split()[-1] == "yes"
    (one,) = json.loads(posd("journal", "archives", "--json").out)["segments"]
    assert (one["month"], one["path"], one["here"]) == (MONTH, str(archived / f"{MONTH}.segment"), True)
    Path(one["path"]).unlink()
    said = posd("journal", "archives")
    assert (said.status, said.out.splitlines()[1].split()[-1]) == (1, "no")


def test_no_segment_yet(posd: Posd, place: Any) -> None:
    said = posd("journal", "archives")
    assert (said.status, said.out) == (0, "nothing is archived\n")


def test_show_and_export_read_segments(posd: Posd, place: Any, archived: Path) -> None:
    rows = [json.loads(line) for line in posd("journal", "export").out.splitlines()]
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["tid"] for row in rows} == {TID, OTHER_TID, STATION}
    assert "lane_opened" in posd("journal", "show").out
    (archived / f"{MONTH}.segment").unlink()
    said = posd("journal", "show")
    assert said.status == 0
    assert "not shown: rows 1 to" in said.err


def test_verify_of_segments(posd: Posd, place: Any, archived: Path) -> None:
    for given, word in (((), "each row checked"), (("--segments", "sums"), "checksum right")):
        said = posd("journal", "verify", *given)
        assert said.status == 0
        assert word in said.out
    said = posd("journal", "verify", "--segments", "none")
    assert (said.status, "not checked" in said.out) == (0, True)
    assert posd("journal", "verify", "--segments", MONTH).status == 0
    assert posd("journal", "verify", "--segments", "2025-01").status == 2
    assert posd("journal", "verify", "--segments", "some").status == 2


def test_verify_where_a_segment_is_elsewhere(posd: Posd, place: Any, archived: Path) -> None:
    (archived / f"{MONTH}.segment").unlink()
    said = posd("journal", "verify")
    assert said.status == 1
    assert f"{MONTH}.segment is missing" in said.out
    said = posd("journal", "verify", "--segments-elsewhere")
    assert said.status == 0
    assert "not here, as was said; it ends with " in said.out
    document = json.loads(posd("journal", "verify", "--segments-elsewhere", "--json").out)
    assert [one["seen"] for one in document["segments"]] == ["not_here"]


def test_status_and_doctor_say_that_a_segment_is_not_here(posd: Posd, place: Any, archived: Path) -> None:
    def codes() -> list[str]:
        return [one["code"] for one in json.loads(posd("status", "--json").out)["findings"]]

    assert "segments_not_here" not in codes()
    (archived / f"{MONTH}.segment").unlink()
    assert "segments_not_here" in codes()
    assert "posd journal archives names them" in posd("doctor", "--lang", "en").out


def test_d33_check_config_says_when_the_next_start_needs_a_segment(posd: Posd, place: Any, archived: Path) -> None:
    (archived / f"{MONTH}.segment").unlink()
    assert posd("check-config", str(place.config)).status == 0, "every snapshot is good"
    connection = apsw.Connection(str(journal_folder(place.settings) / JOURNAL_FILE))
    connection.execute("UPDATE snapshot SET fold_version = fold_version - 1")
    connection.close()
    said = posd("check-config", str(place.config))
    assert said.status == 2
    assert f"has to be folded anew, and {MONTH}.segment is not here; put the segments back into" in said.err


def test_d34_check_config_says_that_the_next_start_upgrades(posd: Posd, place: Any) -> None:
    place.store.close()
    connection = apsw.Connection(str(journal_folder(place.settings) / JOURNAL_FILE))
    connection.execute("DROP TABLE segment; DROP TABLE archived_request; PRAGMA user_version = 1")
    connection.close()
    said = posd("check-config", str(place.config))
    assert said.status == 0
    assert "the journal has schema 1; the next start makes it 2" in said.err
    assert "posd backup create" in said.err
