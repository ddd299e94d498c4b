"""`posd check DATE` on a real journal: in both languages, status 0, 1 and 2."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from posd.cli import close_words
from posd.core.events import SettleNow, Tick
from posd.core.payload import dump_record, record_name
from posd.core.station import DaemonStarted, DaemonStopped
from posd.daemon.shown import words
from posd.journal.contract import RecordRow
from tests.daemon.shop import TID

Posd = Callable[..., Any]


def said(place: Any, record: Any) -> None:
    row = RecordRow("station", record_name(record), 1, place.shop.clock.wall, dump_record(record))
    place.store.write([[row]])


def test_a_forgotten_day_is_a_finding_with_its_evidence(posd: Posd, place: Any) -> None:
    said(place, DaemonStarted("0.1.0"))
    place.runner.sells(123456)
    said(place, DaemonStopped("told to stop"))
    ran = posd("check", "2026-03-02", "--tid", TID)
    assert (ran.status, ran.err) == (1, "")
    assert "Business day 2026-03-02 (2026-03-02 00:00 to 2026-03-03 00:00)" in ran.out
    assert "FORGOTTEN: due, and not done" in ran.out
    assert "1234.56 (1), oldest 2026-03-02 10:00" in ran.out
    assert f"{TID}, due 2026-03-02 23:00: posd was not running" in ran.out
    row = place.rows("daemon_stopped")[0].sequence
    assert f"    row {row}, " in ran.out
    chinese = posd("check", "2026-03-02", "--tid", TID, "--lang", "zh")
    assert chinese.status == 1
    for text in ("漏结算", "posd 未运行", f"第 {row} 行", "posd 停止：told to stop", "1234.56（1 笔）"):
        assert text in chinese.out
    document = json.loads(posd("check", "2026-03-02", "--json").out)
    assert not document["good"]
    assert document["terminals"][0]["moments"][0]["at_stake"]["amount_minor"] == 123456


def test_a_good_day_is_good_beside_a_running_daemon(posd: Posd, place: Any, served: Any) -> None:
    said(place, DaemonStarted("0.1.0"))
    place.runner.sells(100)
    place.shop.clock.wait(13 * 3600 + 5)
    place.runner.happen(Tick())
    place.runner.signs_in().agrees().answers("").signs_in()
    ran = posd("check", "2026-03-02", "--tid", TID)
    assert (ran.status, ran.err) == (0, "")
    assert "closed, totals agreed" in ran.out
    assert "Nothing was forgotten." in ran.out
    assert "已结算，对账平" in posd("check", "2026-03-02", "--tid", TID, "--lang", "zh").out
    place.runner.happen(SettleNow("c", "Li"))
    assert posd("check", "2031-01-01").status == 0, "a day to come is not due"


@pytest.mark.parametrize(
    "day", ["yesterday", "2026-3-2", "2026-02-30", "20260302", "0001-01-01", "9999-12-31", "\x1b[2J"]
)
def test_what_is_no_date_is_misuse(posd: Posd, place: Any, day: str) -> None:
    ran = posd("check", day)
    assert ran.status == 2
    assert "is no date; write it as 2026-03-02" in ran.err
    assert ran.err.count("\n") == 1
    assert "\x1b" not in ran.err


def test_check_of_an_unknown_terminal_or_without_a_journal(posd: Posd, place: Any) -> None:
    assert "no terminal" in posd("check", "2026-03-02", "--tid", "99999999").err
    assert posd("check").status == 2


def test_both_languages_know_every_word_of_a_day() -> None:
    assert set(close_words.DAYS) == set(words.DAY)
    assert set(close_words.DAY_CAUSES) == set(words.DAY_CAUSE)
    assert set(close_words.BESIDE) == set(words.BESIDE)
