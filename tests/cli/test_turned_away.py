"""What posd answered itself, answers that were not believed, ambiguous names, and the times of it all."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from posd.core import events as e
from posd.core.payload import dump_record, record_name, record_version
from posd.core.records import RequestRefused
from posd.core.rules import TxnKind, Why
from posd.daemon.till.orders import till_request
from posd.journal.contract import MessageRow, RecordRow
from posd.values import Minor, Stan
from tests.daemon.shop import CARD, OTHER_TID, TID, request_id

Posd = Callable[..., Any]
RRN = "632620000010"


def asks(place: Any, number: int) -> str:
    """A terminal's sale while the line is down for longer than a request waits: its message, and posd's refusal."""
    runner, of = place.runner, request_id(number)
    fields = {"2": CARD.masked, "3": "000000", "4": "000000001250", "22": "022"}
    message = MessageRow(
        TID, runner.clock.wall, "in", "terminal", "0200", json.dumps(fields), b"raw", of, number, None, None
    )
    place.store.write([[message]])
    runner.happen(
        e.TransactionRequested(
            request_id=of,
            kind=TxnKind.SALE,
            amount_minor=Minor(1250),
            terminal_batch=1,
            terminal_stan=Stan(number),
            fingerprint="1250/d1",
            entry_mode="022",
            card=CARD,
            original=None,
            has_pin=False,
            reply_to=f"sale-{number}",
            received_s=runner.clock.mono,
        )
    )
    runner.clock.wait(60)
    runner.happen(e.Tick())
    return str(of)


@pytest.fixture
def turned_away(place: Any) -> str:
    place.runner.sells(100)
    place.runner.happen(e.LinkDown("cable pulled"))
    return asks(place, 77)


@pytest.mark.parametrize("up", [True, False])
def test_a_request_that_was_not_sent_is_listed_and_shown(
    posd: Posd, place: Any, turned_away: str, up: bool, request: pytest.FixtureRequest
) -> None:
    if up:
        request.getfixturevalue("served")
    listed = json.loads(posd("txn", "list", "--json", "--tid", TID).out)["transactions"]
    assert [(one["status"], one["amount"]) for one in listed] == [("approved", "1.00"), ("turned_away", "12.50")]
    assert listed[0].keys() == listed[1].keys(), "one kind of row for programs"
    assert listed[1]["why_unknown"].startswith("not_sent: ")
    assert (listed[1]["card"], listed[1]["terminal_stan"]) == (CARD.masked, 77)
    only = json.loads(posd("txn", "list", "--json", "--status", "turned_away").out)["transactions"]
    assert [one["request_id"] for one in only] == [turned_away]
    assert json.loads(posd("txn", "list", "--json", "--status", "approved").out)["transactions"] == listed[:1]
    shown = posd("txn", "show", turned_away)
    assert shown.status == 0
    assert "answered by posd itself, nothing was sent to the host" in shown.out
    assert "request_refused" in shown.out
    assert "turned_away" in posd("txn", "list").out
    assert posd("txn", "show", f"{TID}/000077").out == shown.out, "by the terminal's own trace number"


def test_of_a_batch_by_its_number(posd: Posd, place: Any, turned_away: str) -> None:
    of_seven = json.loads(posd("txn", "list", "--json", "--batch", "7").out)["transactions"]
    assert [one["status"] for one in of_seven] == ["approved", "turned_away"]
    assert json.loads(posd("txn", "list", "--json", "--batch", "8").out)["transactions"] == []
    newest = json.loads(posd("txn", "list", "--json", "--limit", "1").out)
    assert (len(newest["transactions"]), newest["left_out"]) == (1, 1)


@pytest.mark.parametrize("up", [True, False])
def test_the_rrn_of_an_approval_that_was_not_believed(
    posd: Posd, place: Any, up: bool, request: pytest.FixtureRequest
) -> None:
    of = place.runner.sells(100, code=None)
    assert place.runner.state.find(of).why is Why.TIMEOUT
    answer = MessageRow(
        TID, place.runner.clock.wall, "in", "host", "0210", json.dumps({"39": "00"}), b"raw", of, 2, RRN, None
    )
    place.store.write([[answer]])
    if up:
        request.getfixturevalue("served")
    shown = posd("txn", "show", RRN, "--json")
    assert shown.status == 0, shown.err
    assert json.loads(shown.out)["transaction"]["request_id"] == of


def till_order(place: Any, key: str) -> str:
    """A till's order that posd refused: its message, and the refusal."""
    of = till_request(TID, key)
    fields = {"type": "sale", "amount": "13.07", "card": CARD.masked, "reference": "R-9"}
    wall = place.runner.clock.wall
    message = MessageRow(TID, wall, "in", "till", "order", json.dumps(fields), b"raw", of, None, None, None)
    refused = RequestRefused(of, "not_sent", "the line to the host is down")
    kind = record_name(refused)
    row = RecordRow(TID, kind, record_version(kind), wall, dump_record(refused), request_id=of, batch=7)
    place.store.write([[message, row]])
    return str(of)


@pytest.mark.parametrize("up", [True, False])
def test_a_tills_order_that_was_not_sent_is_shown_by_its_key(
    posd: Posd, place: Any, up: bool, request: pytest.FixtureRequest
) -> None:
    of = till_order(place, "sale-s9")
    if up:
        request.getfixturevalue("served")
    (listed,) = json.loads(posd("txn", "list", "--json").out)["transactions"]
    assert (listed["request_id"], listed["kind"], listed["amount"], listed["amount_minor"]) == (
        of,
        "sale",
        "13.07",
        1307,
    )
    assert (listed["card"], listed["reference"]) == (CARD.masked, "R-9")
    shown = posd("txn", "show", "sale-s9")
    assert shown.status == 0, shown.err
    assert of in shown.out
    assert "refusal not_sent, because the line to the host is down" in shown.out
    assert "type sale" in posd("journal", "show").out.replace("amount 13.07, ", "")


def test_a_trace_number_that_came_again_is_told(posd: Posd, place: Any) -> None:
    first, second = request_id(900), f"{TID}/000002/000900/0200/000000"
    for of in (first, second):
        row = MessageRow(TID, place.runner.clock.wall, "in", "terminal", "0200", "{}", b"raw", of, 900, None, None)
        place.store.write([[row]])
    ran = posd("txn", "show", f"{TID}/000900")
    assert ran.status == 2
    assert f"fits 2 transactions, the newest first; say which: {second}, {first}" in ran.err


def test_times_are_the_terminals_with_their_offset(posd: Posd, place: Any) -> None:
    of = place.runner.sells(100)
    assert "2026-03-02 10:00:00+08:00" in posd("txn", "list").out
    assert "2026-03-02 02:00:00+00:00" in posd("txn", "list", "--utc").out
    assert "2026-03-02 10:00:00+08:00" in posd("txn", "show", of).out
    assert "2026-03-02 10:00:00.000+08:00" in posd("txn", "show", of).out, "its history too"
    assert "2026-03-02 02:00:00+00:00" in posd("txn", "show", of, "--utc").out
    assert "2026-03-02 10:00:00.000+08:00" in posd("journal", "show", "--tid", OTHER_TID).out
    assert "2026-03-02 02:00:00.000+00:00" in posd("journal", "show", "--utc").out
    row = json.loads(posd("journal", "show", "--json", "--limit", "1").out)
    assert row["at"] == "2026-03-02T02:00:00.000+00:00"
    assert json.loads(posd("txn", "show", of, "--json").out)["transaction"]["at"] == "2026-03-02T10:00:00+08:00"


def test_verify_tells_how_many_rows_it_has_seen(posd: Posd, place: Any) -> None:
    from posd.daemon.shown.offline import journal_folder
    from posd.journal.verify import verify
    from posd.security.machine import load_machine_key

    place.runner.sells(100)
    seen: list[int] = []
    chain_key = load_machine_key(place.settings.machine_key_file).derive("chain")
    report = verify(journal_folder(place.settings), chain_key, seen.append)
    assert report.intact
    assert seen[-1] == report.rows
