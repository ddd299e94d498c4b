"""The journal read without a daemon: the same answers as the live states give, and older days by index."""

from typing import Any

import apsw
import pytest

from posd.core.answers import GroupResult
from posd.core.events import SettleNow
from posd.core.fold import settlement as fold_settlement
from posd.core.payload import FOLD_VERSION, dump_state
from posd.daemon.assemble import profile_of
from posd.daemon.rules import rules_of
from posd.daemon.shown.offline import OfflineJournal, journal_folder
from posd.daemon.shown.questions import Seen, answer
from posd.daemon.shown.views import Around
from posd.errors import ConfigError, StorageFailed
from posd.journal.sqlite import SqliteStore
from posd.profiles.codes import meanings
from posd.profiles.unionpay.codes import CODES
from posd.settings import Settings
from posd.values import Tid
from tests.daemon.shop import OTHER_TID, TID, Hands, Shop, a_shop, request_id


def journalled(store: SqliteStore) -> Shop:
    return a_shop(TID, remember=lambda rows: store.write([rows]) and None)


def ask(settings: Settings, verb: str, clock: Hands, **args: Any) -> dict[str, Any]:
    with OfflineJournal(settings, clock.now()) as journal:
        return journal.answer(verb, args)


def live(settings: Settings, shop: Shop, verb: str, **args: Any) -> dict[str, Any]:
    """What a daemon would say of the same states, but for what only a daemon knows."""
    profile = profile_of(settings)
    rules = rules_of(settings, settings.terminals[0], profile)
    around = Around(rules, shop.clock.now(), running=False, meanings=meanings(CODES))
    everything = {TID: Seen(shop.lanes[TID].state, around), Tid(OTHER_TID): Seen(None, around)}
    return answer(verb, args, everything, {"findings": []})


def test_the_journal_gives_the_same_views_as_the_states(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    runner = shop.lanes[TID]
    runner.sells(1000)
    runner.sells(500, code="51")
    runner.sticks()
    for verb in ("txn.list", "reversals.list"):
        assert ask(settings, verb, shop.clock) == live(settings, shop, verb)
    assert ask(settings, "status", shop.clock)["terminals"] == live(settings, shop, "status")["terminals"]
    assert ask(settings, "txn.show", shop.clock, id=request_id(1)) == live(settings, shop, "txn.show", id=request_id(1))


def test_it_says_that_no_daemon_runs_and_that_this_is_not_good(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    said = ask(settings, "status", shop.clock)
    assert not said["posd"]["running"]
    assert not said["good"]
    assert said["findings"][0]["code"] == "daemon_down"
    assert said["terminals"][1] == {"tid": OTHER_TID, "empty": True}


def test_older_batches_are_found_by_number_rrn_and_trace(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_settlement, "EARLIER_MAX", 0)
    shop = journalled(store)
    runner = shop.lanes[TID]
    old = runner.sells(1111)
    reversed_ = runner.sells(2222, code=None)
    runner.answers("00")
    txn = runner.state.find(old)
    for number in range(2):
        runner.happen(SettleNow(f"c{number}", "Li"))
        runner.signs_in().agrees(GroupResult.BALANCED).answers("").signs_in()
        runner.sells(3333)
    assert runner.state.find(old) is None
    listed = ask(settings, "txn.list", shop.clock, batch=7)["transactions"]
    assert [(one["request_id"], one["status"]) for one in listed] == [(old, "approved"), (reversed_, "reversed")]
    assert [
        one["request_id"] for one in ask(settings, "txn.list", shop.clock, batch=7, status="reversed")["transactions"]
    ] == [reversed_]
    for name in (old, txn.facts.rrn, f"{TID}/{txn.stan}"):
        with OfflineJournal(settings, shop.clock.now()) as journal:
            assert journal.show(name)["transaction"]["amount"] == "11.11", name
    shown = ask(settings, "txn.show", shop.clock, id=reversed_)["transaction"]
    assert shown["reversal"]["status"] == "acknowledged"
    with OfflineJournal(settings, shop.clock.now()) as journal:
        kinds = [row["kind"] for row in journal.timeline(reversed_)]
    assert kinds[0] == "authorisation_started"
    assert kinds[-1] == "reversal_acknowledged"


def test_a_batch_that_the_state_remembers_in_part_is_listed_whole(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_settlement, "EARLIER_MAX", 1)
    shop = journalled(store)
    runner = shop.lanes[TID]
    sold = [runner.sells(100 * number) for number in range(1, 5)]
    for number in range(2):
        runner.happen(SettleNow(f"c{number}", "Li"))
        runner.signs_in().agrees(GroupResult.BALANCED).answers("").signs_in()
        runner.sells(3333)
    assert [runner.state.find(of) is not None for of in sold] == [False, False, False, True]
    said = ask(settings, "txn.list", shop.clock, batch=7)
    assert ([one["request_id"] for one in said["transactions"]], said["left_out"]) == (sold, 0)
    said = ask(settings, "txn.list", shop.clock, batch=7, limit=3)
    assert ([one["request_id"] for one in said["transactions"]], said["left_out"]) == (sold[1:], 1)
    with pytest.raises(ConfigError, match="unknown status"):
        ask(settings, "txn.list", shop.clock, batch=7, status="lost")
    with pytest.raises(ConfigError, match="no terminal"):
        ask(settings, "txn.list", shop.clock, batch=7, tid="99999999")


def test_what_is_not_there_is_said_in_one_line(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    with OfflineJournal(settings, shop.clock.now()) as journal:
        for name in ("", "nope", f"{TID}/77", f"{TID}/000001/000077/0200/000000"):
            with pytest.raises(ConfigError):
                journal.show(name)
    with pytest.raises(ConfigError, match="no terminal"):
        ask(settings, "status", shop.clock, tid="nope")


def test_no_journal_is_a_configuration_error(settings: Settings) -> None:
    with pytest.raises(ConfigError):
        OfflineJournal(settings, Hands().now())


def test_records_that_contradict_each_other_are_shown_as_a_fence(settings: Settings, store: SqliteStore) -> None:
    rows: list[Any] = []
    shop = a_shop(TID, remember=rows.extend)
    of = shop.lanes[TID].sells()
    store.write([[*rows, next(row for row in rows if row.kind == "approved")]])
    said = ask(settings, "status", shop.clock)
    assert "contradicts" in said["terminals"][0]["fenced"]
    with pytest.raises(StorageFailed, match="contradicts"):
        ask(settings, "txn.show", shop.clock, id=of)


def test_a_reader_beside_the_writer_sees_what_is_committed(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    counted: list[int] = []
    with OfflineJournal(settings, shop.clock.now(), counted.append) as journal:
        assert journal.answer("txn.list", {})["transactions"] == []
        shop.lanes[TID].sells()
        assert len(journal.answer("txn.list", {})["transactions"]) == 1
    assert counted == sorted(counted)
    assert counted[-1] > 3


def read_rows(settings: Settings, shop: Shop) -> tuple[dict[str, Any], int]:
    """A status from the journal, and how many records it took."""
    counted = [0]
    with OfflineJournal(settings, shop.clock.now(), counted.append) as journal:
        return journal.answer("status", {}), counted[-1]


def test_d33_a_snapshot_spares_the_fold_and_tells_the_same(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    for _ in range(5):
        shop.lanes[TID].sells(1000)
    whole, rows = read_rows(settings, shop)
    store.save_snapshot(TID, store.head().sequence, FOLD_VERSION, dump_state(shop.lanes[TID].state))
    shop.lanes[TID].sells(250)
    said, fewer = read_rows(settings, shop)
    assert fewer < rows
    assert said["terminals"] == live(settings, shop, "status")["terminals"]
    assert whole["terminals"] != said["terminals"]


def test_d33_a_snapshot_that_is_forged_or_cannot_be_proven_is_not_used(settings: Settings, store: SqliteStore) -> None:
    shop = journalled(store)
    shop.lanes[TID].sells(1000)
    whole, rows = read_rows(settings, shop)
    richer = dump_state(shop.lanes[TID].state).replace("1000", "9999")
    store.save_snapshot(TID, store.head().sequence, FOLD_VERSION, richer)
    told = read_rows(settings, shop)[0]["terminals"][0]["totals"]["domestic"]["debit"]
    assert told == "99.99", "an authentic one is believed: it is the daemon's own"
    connection = apsw.Connection(str(journal_folder(settings) / "journal.db"))
    connection.execute("UPDATE snapshot SET mac = zeroblob(32)")
    connection.close()
    assert read_rows(settings, shop) == (whole, rows)
    store.save_snapshot(TID, store.head().sequence, FOLD_VERSION, richer)
    settings.machine_key_file.chmod(0o644)  # as for a user who may not read it: it is refused
    assert read_rows(settings, shop) == (whole, rows)
