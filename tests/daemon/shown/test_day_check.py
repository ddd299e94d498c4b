"""Was that day settled? Real engines and a real journal, days that go wrong in every way, and the rows that say so."""

import json
from collections.abc import Callable
from datetime import date, time
from typing import Any

import pytest
from msgspec.structs import replace

from posd.config import load
from posd.core import events as e
from posd.core.answers import GroupResult
from posd.core.payload import dump_record, record_name
from posd.core.schedule import business_day_ms, due_moments_ms, local, next_due_ms
from posd.core.station import DaemonStarted, DaemonStopped, LineChanged
from posd.daemon.shown import words
from posd.daemon.shown.day_check import WORST_FIRST
from posd.daemon.shown.offline import OfflineJournal
from posd.journal.contract import RecordRow
from posd.journal.sqlite import SqliteStore
from posd.settings import Settings
from posd.values import Now, Tid
from tests.daemon.shop import OTHER_TID, RULES, TID, ZONE, Runner, Shop, a_shop, wall_ms
from tests.daemon.stage import Stage, play

DAY = date(2026, 3, 2)
MIDNIGHT = time(0, 0)


class Day:
    """A shop whose rows go to the journal, the station's words, and the question."""

    def __init__(self, settings: Settings, store: SqliteStore) -> None:
        self.settings, self.store = settings, store
        self.clock_ms = wall_ms("2026-03-02 09:00:00")
        self.says(DaemonStarted("0.1.0"))
        self.says(LineChanged(True, ""))
        self.shop: Shop = a_shop(TID, remember=lambda rows: store.write([rows]) and None)  # type: ignore[func-returns-value]

    @property
    def runner(self) -> Runner:
        return self.shop.lanes[TID]

    def says(self, record: Any) -> None:
        """A station's record, now."""
        name = record_name(record)
        at_ms = self.shop.clock.wall if hasattr(self, "shop") else self.clock_ms
        self.store.write([[RecordRow("station", name, 1, at_ms, dump_record(record))]])

    def at(self, text: str) -> "Day":
        """The clock says so, and every lane wakes."""
        seconds = (wall_ms(text) - self.shop.clock.wall) / 1000
        self.shop.clock.wait(seconds)
        return self

    def ticks(self) -> "Day":
        self.runner.happen(e.Tick())
        return self

    def settles(self) -> "Day":
        """The due settlement, with a host that agrees."""
        self.ticks()
        self.runner.signs_in().agrees().answers("").signs_in()
        return self

    def rules(self, **changes: Any) -> None:
        self.runner.lane.engine.rules = replace(self.runner.lane.engine.rules, **changes)

    def asked(self, day: date = DAY, *, running: bool = True, tid: str = TID, ends_at: time = MIDNIGHT) -> Any:
        with OfflineJournal(self.settings, self.shop.clock.now()) as journal:
            (found,) = journal.days(day, ends_at, tid, running=running)
        json.dumps(found)
        return found

    def moment(self, **how: Any) -> Any:
        (found,) = self.asked(**how)["moments"]
        return found

    def causes(self, **how: Any) -> list[str]:
        return [cause["code"] for cause in self.moment(**how)["causes"]]


@pytest.fixture
def day(settings: Settings, store: SqliteStore) -> Day:
    return Day(settings, store)


def evidence(moment: Any, code: str) -> list[str]:
    (found,) = (cause for cause in moment["causes"] if cause["code"] == code)
    return [row["kind"] for row in found["evidence"]]


def test_a_settled_day_is_done(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").settles()
    found = day.at("2026-03-03 08:00:00").asked()
    assert (found["status"], found["good"]) == ("done", True)
    (moment,) = found["moments"]
    assert moment["due_at"] == "2026-03-02T23:00:00+08:00"
    assert (moment["batch"], moment["outcome"], moment["late_s"], moment["causes"]) == (7, "agreed", 0, [])
    assert moment["at_stake"] is None


def test_a_day_that_is_not_over_is_not_due(day: Day) -> None:
    day.runner.sells(1000)
    assert day.asked()["status"] == "not_due"
    assert day.asked(date(2026, 3, 9))["status"] == "not_due"
    day.at("2026-03-02 23:01:00")
    assert day.asked()["status"] == "under_way", "posd may take a minute"


def test_a_day_without_sales_is_empty(day: Day) -> None:
    day.at("2026-03-02 23:00:00").ticks().at("2026-03-03 08:00:00")
    assert day.asked()["status"] == "empty"
    assert day.asked(date(2026, 2, 27))["status"] == "empty", "the terminal was not there yet"


def test_a_day_with_nothing_but_advices_is_not_empty(day: Day) -> None:
    """Delivered or not, what a terminal told is money to settle."""
    day.runner.tells(400)
    day.at("2026-03-03 08:00:00")
    moment = day.moment(running=False)
    assert (moment["status"], moment["at_stake"]["amount"]) == ("forgotten", "4.00")


def test_money_that_came_after_the_due_moment_was_not_forgotten(day: Day) -> None:
    day.says(DaemonStopped("told to stop"))
    day.at("2026-03-03 08:00:00").says(DaemonStarted("0.1.0"))
    day.runner.sells(1000)
    assert day.asked()["status"] == "empty"
    assert day.at("2026-03-03 12:00:00").asked(date(2026, 3, 3))["status"] == "not_due"


def test_power_off_is_forgotten_until_it_is_caught_up(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 22:00:00").runner.sells(250)
    day.at("2026-03-03 08:00:00")
    found = day.asked(running=False)
    assert (found["status"], found["good"]) == ("forgotten", False)
    assert day.causes(running=False)[0] == "daemon_down"
    moment = day.moment(running=False)
    assert moment["at_stake"] == {
        "count": 2,
        "amount": "12.50",
        "amount_minor": 1250,
        "oldest_at": "2026-03-02T10:00:00+08:00",
    }
    assert moment["late_s"] == 9 * 3600
    day.says(DaemonStarted("0.1.0"))
    day.says(LineChanged(True, ""))
    day.settles()
    moment = day.moment()
    assert (moment["status"], moment["outcome"], moment["late_s"]) == ("done", "agreed", 9 * 3600)
    assert [cause["code"] for cause in moment["causes"]] == ["daemon_down"]
    assert evidence(moment, "daemon_down") == ["last_row", "daemon_started"]
    assert moment["causes"][0]["evidence"][0]["text"] == "the last that posd wrote (approved)"


def test_a_daemon_that_was_stopped_is_told_from_one_that_was_killed(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 22:00:00").says(DaemonStopped("told to stop"))
    day.at("2026-03-03 08:00:00")
    moment = day.moment(running=False)
    assert evidence(moment, "daemon_down") == ["daemon_stopped"]
    assert moment["causes"][0]["evidence"][0]["text"] == "posd stopped: told to stop"


def test_the_line_is_the_cause(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 22:00:00").says(LineChanged(False, "cable pulled"))
    day.runner.happen(e.LinkDown("cable pulled"))
    day.at("2026-03-03 08:00:00").ticks()
    assert day.asked()["status"] == "forgotten"
    assert day.causes() == ["line"]
    assert day.moment()["causes"][0]["evidence"][0]["text"] == "the line to the host went down: cable pulled"


def test_the_host_refuses(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks()
    day.runner.signs_in().answers("96")
    day.at("2026-03-03 08:00:00")
    assert day.asked()["status"] == "forgotten"
    assert day.causes() == ["host_refused"]
    assert evidence(day.moment(), "host_refused") == ["totals_unanswered"]


def test_the_host_says_nothing(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks()
    day.runner.signs_in().keeps_silent()
    day.at("2026-03-03 08:00:00")
    assert (day.asked()["status"], day.causes()) == ("forgotten", ["host_silent"])


def test_the_clocks_differ(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks()
    day.runner.answers("00", wrapped_keys="A1" * 40, batch_number=7, host_clock="0303030000")
    day.at("2026-03-03 08:00:00")
    assert (day.asked()["status"], day.causes()) == ("forgotten", ["clock"])


def test_d23_a_held_settlement_is_forgotten_until_somebody_approves_it(day: Day) -> None:
    day.rules(settle_maximum_minor=500)
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks().at("2026-03-03 08:00:00")
    assert (day.asked()["status"], day.causes()) == ("forgotten", ["held"])
    day.runner.happen(e.ApproveSettlement("a", "Li", "checked", None))
    day.runner.signs_in().agrees().answers("").signs_in()
    moment = day.moment()
    assert (moment["status"], moment["late_s"]) == ("done", 9 * 3600)
    assert evidence(moment, "held") == ["settlement_held", "settlement_approved"]
    assert "approved at 10.00, by Li: checked" in moment["causes"][0]["evidence"][1]["text"]


def test_d23_a_deferred_settlement_is_deferred(day: Day) -> None:
    day.rules(settle_minimum_minor=5000)
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks().at("2026-03-03 08:00:00")
    found = day.asked()
    assert (found["status"], found["good"]) == ("deferred", True)
    assert found["moments"][0]["at_stake"]["amount"] == "10.00"
    day.runner.sells(9000)
    day.at("2026-03-03 23:00:00").settles()
    moment = day.moment()
    assert (moment["status"], moment["batch"]) == ("deferred", 7)
    assert day.asked(date(2026, 3, 3))["status"] == "done"


def test_d20_an_unconfirmed_close_is_unknown(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks()
    day.runner.signs_in().keeps_silent()
    day.at("2026-03-02 23:10:00").ticks()
    day.runner.answers("94")
    found = day.at("2026-03-03 08:00:00").asked()
    assert (found["status"], found["good"]) == ("unknown", False)
    assert "host_unconfirmed" in day.causes()
    day.runner.keeps_silent()
    day.runner.happen(e.DecideSettlement("d", "Wang", "the bank paid", True))
    assert day.moment()["outcome"] == "unconfirmed"
    assert day.asked()["status"] == "unknown"


def test_out_of_balance_is_done_and_says_so(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").ticks()
    day.runner.signs_in().agrees(GroupResult.UNBALANCED).answers("").answers("").signs_in()
    moment = day.moment()
    assert (moment["status"], moment["outcome"]) == ("done", "out_of_balance")
    assert moment["text"] == "closed, but the totals did not agree"


def test_d18_a_close_before_the_due_moment_does_not_satisfy_it(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 22:59:00").runner.happen(e.SettleNow("c", "Li"))
    day.runner.signs_in().agrees().answers("").signs_in()
    day.runner.sells(500)
    day.rules(due_times=(time(5, 0),))  # the settings were changed over night: nothing was due at 23:00
    found = day.at("2026-03-03 04:00:00").asked()
    assert found["status"] == "forgotten"
    assert day.causes() == ["configuration"]
    assert found["moments"][0]["at_stake"]["amount"] == "5.00"


def test_without_evidence_it_is_unknown(settings: Settings, store: SqliteStore) -> None:
    """A journal from before posd noted its starts."""
    shop = a_shop(TID, remember=lambda rows: store.write([rows]) and None)  # type: ignore[func-returns-value]
    shop.lanes[TID].sells(1000)
    shop.clock.wait(22 * 3600)
    with OfflineJournal(settings, shop.clock.now()) as journal:
        mine, other = journal.days(DAY, MIDNIGHT, None, running=False)
    assert (mine["tid"], mine["status"], mine["moments"][0]["causes"]) == (TID, "unknown", [])
    assert (other["tid"], other["status"]) == (OTHER_TID, "unknown")


def test_the_business_day_may_end_in_the_night(day: Day) -> None:
    day.runner.sells(1000)
    day.at("2026-03-02 23:00:00").settles()
    found = day.at("2026-03-03 08:00:00").asked(ends_at=time(23, 30))
    assert (found["from"], found["until"]) == ("2026-03-02T23:30:00+08:00", "2026-03-03T23:30:00+08:00")
    assert found["status"] == "not_due"
    assert day.asked(date(2026, 3, 1), ends_at=time(23, 30))["status"] == "done"


def test_a_day_of_a_changed_clock_has_each_due_moment_once() -> None:
    begin_ms, end_ms = business_day_ms(date(2026, 3, 29), MIDNIGHT, "Europe/Berlin")
    assert end_ms - begin_ms == 23 * 3_600_000
    assert len(due_moments_ms(begin_ms, end_ms, (time(2, 30), time(23, 0)), "Europe/Berlin")) == 2
    assert due_moments_ms(*business_day_ms(DAY, MIDNIGHT, ZONE), RULES.due_times, ZONE) == [
        wall_ms("2026-03-02 23:00:00")
    ]


def test_a_real_daemon_leaves_the_evidence_itself(staged: Callable[..., Stage]) -> None:
    """Stopped in order, started, killed: each of its gaps is told from the journal of a whole posd."""

    async def story(stage: Stage) -> None:
        def looked(hours: float) -> Any:
            now = stage.daemon.clock.now()
            later = Now(now.wall_ms + round(hours * 3_600_000), now.monotonic_s)
            rules = stage.daemon.lanes[Tid(TID)].lane.engine.rules
            day = local(next_due_ms(now.wall_ms, rules.due_times, rules.zone), rules.zone).date()
            with OfflineJournal(load(stage.folder / "posd.yaml"), later) as journal:
                (found,) = journal.days(day, MIDNIGHT, TID, running=False)
            return found

        await stage.start()
        await stage.sale("12.34")
        await stage.end()
        assert looked(0)["status"] == "not_due"
        missed = looked(48)
        assert (missed["status"], missed["moments"][0]["at_stake"]["amount"]) == ("forgotten", "12.34")
        (cause,) = (cause for cause in missed["moments"][0]["causes"] if cause["code"] == "daemon_down")
        assert [row["kind"] for row in cause["evidence"]] == ["daemon_stopped"]

    play(staged(), story)


def test_every_status_of_a_day_has_words() -> None:
    assert set(words.DAY) == set(WORST_FIRST)
