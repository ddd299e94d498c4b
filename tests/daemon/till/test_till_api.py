"""The door for tills on a whole posd: real sockets, the simulated host, and every promise about a key."""

import asyncio
import json
import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.core.state import SettlementPhase
from posd.daemon.control.peer import Peer, who_is
from posd.daemon.control.sight import Sight
from posd.daemon.shown.questions import answer
from posd.daemon.shown.terminal_view import terminal_view
from posd.errors import ConfigError
from posd.journal.reader import JournalReader
from tests.daemon.stage import CARD, EXPIRY, OTHER_CARD, SECOND, TID, Stage, play
from tests.daemon.till.client import ORDERS, SALE, TOKEN, Till, with_till

MakeStage = Callable[..., Stage]
SETTLE = f"/v1/terminals/{TID}/settlements"
REFUSED = {"do": "refuse", "mti": "0200", "amount": "*51", "code": "51"}
PATIENT = {"host": {"reply_timeout_s": 2}}
"""Where the host is honest in part, a slow machine must not look like a lost answer."""

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def run(
    staged: MakeStage,
    story: Callable[[Stage, Till], Any],
    till: dict[str, Any] | None = None,
    differences: int = 0,
    **how: Any,
) -> None:
    """`story` with a posd that serves tills; afterwards the books agree and no card number is in any of our files."""
    stage = staged(**how)
    client = with_till(stage, **(till or {}))

    async def whole(stage: Stage) -> None:
        await stage.start()
        await story(stage, client)
        await stage.end()
        assert len(stage.differences()) == differences

    play(stage, whole)
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    assert [path for path in files if CARD.encode() in path.read_bytes()] == []


async def settled(stage: Stage, till: Till, key: str) -> None:
    before = stage.state().batch.identity
    assert (await till.ask("POST", SETTLE, headers={"Idempotency-Key": key})).status == 202
    await stage.until(lambda: stage.state().batch.identity > before and stage.state().session.signed_in)


def test_d6_asked_again_while_posd_stops_nobody_is_told_that_it_was_not_sent(staged: MakeStage) -> None:
    """Else the till orders it again under a new key, and the customer pays twice."""

    async def story(stage: Stage, till: Till) -> None:
        lines = [till.connect(), till.connect()]
        for line in lines:
            assert (await till.ask("GET", "/v1/health", connection=line)).status == 200
        first = asyncio.create_task(till.order("s-1"))
        await stage.until(lambda: stage.received("0200"))
        stage.daemon.stop()
        await stage.until(lambda: "stopping" in stage.events())
        again = asyncio.create_task(till.order("s-1", connection=lines[0]))
        other = await till.order("s-2", connection=lines[1])
        assert (other.status, other.problem, other.json["sent"]) == (503, "not_sent", False)
        assert (await first).json == (await again).json
        assert (await first).json["status"] == "approved"
        await stage.life
        await stage.start()
        assert (await till.order("s-1")).json["status"] == "approved"
        assert len(stage.received("0200")) == 1

    slow = {"do": "delay", "mti": "0200", "amount": "12.30", "ms": 1000}
    run(staged, story, faults=(slow,), change=PATIENT)


def test_d6_asked_again_while_the_first_is_on_its_way_to_the_disk_nobody_is_told_that_it_was_not_sent(
    staged: MakeStage,
) -> None:
    """Neither the inbox nor the state has it then, and the disks of small boxes may take their time."""

    async def story(stage: Stage, till: Till) -> None:
        line = till.connect()
        assert (await till.ask("GET", "/v1/health", connection=line)).status == 200
        runner = stage.daemon.lanes[stage.state().tid]
        await stage.until(lambda: runner.resting)
        stage.rig.slow_s = 1.0
        first = asyncio.create_task(till.order("s-1"))
        await stage.until(lambda: not runner.resting and not runner._inbox)
        stage.daemon.stop()
        await stage.until(lambda: "stopping" in stage.events())
        again = asyncio.create_task(till.order("s-1", connection=line))
        assert (await again).json == (await first).json
        assert (await again).json["status"] == "approved"
        stage.rig.slow_s = 0.0
        await stage.life
        await stage.start()
        assert len(stage.received("0200")) == 1

    run(staged, story, change={"drain_timeout_s": 10})


def test_d6_a_key_that_was_used_for_another_order_says_nothing_of_sending(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        assert (await till.order("s-1")).status == 200
        reused = await till.order("s-1", {**SALE, "amount": "99.00"})
        assert reused.problem == "key_reused"
        assert "sent" not in reused.json, "the first order under this key was"

    run(staged, story, change=PATIENT)


def test_d36_a_settlement_asked_again_after_its_close_is_the_one_that_was_accepted(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        assert (await till.order("s-1")).status == 200
        await settled(stage, till, "close-1")
        assert (await till.order("s-2")).status == 200
        again = await till.ask("POST", SETTLE, headers={"Idempotency-Key": "close-1"})
        assert (again.status, again.json["batch"]) == (202, 1)
        assert stage.state().batch.identity == 2, "asked again it closes nothing more"

    run(staged, story, change=PATIENT)


# --- orders ----------------------------------------------------------------------------------------------------------


def test_sale_void_refund(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        sale = await till.order("s-1", {**SALE, "tip": "2.30", "reference": "R-1042"})
        assert (sale.status, sale.json["status"], sale.json["amount"]) == (200, "approved", "12.30")
        assert (sale.json["tip"], sale.json["reference"], sale.json["id"]) == ("2.30", "R-1042", "s-1")
        assert sale.json["card"] == "622588******6789"
        void = await till.order("v-1", {"type": "void", "original": "s-1"})
        assert (void.json["status"], void.json["amount"], void.json["original"]) == ("approved", "12.30", "s-1")
        assert (await till.order("s-2")).json["status"] == "approved"
        await settled(stage, till, "e-1")
        refund = await till.order("r-1", {"type": "refund", "original": "s-2", "amount": "2.00"})
        assert (refund.status, refund.json["status"], refund.json["kind"]) == (200, "approved", "refund")
        named = {"rrn": sale.json["rrn"], "date": "0302"}
        card = {"number": CARD, "expiry": EXPIRY}
        more = await till.order("r-2", {"type": "refund", "sale": named, "card": card, "amount": "1.00"})
        assert more.status == 200

    run(staged, story)


def test_a_sale_of_the_terminal_is_voided_by_the_till_that_may_send_no_cards(staged: MakeStage) -> None:
    """The card comes from the vault."""

    async def story(stage: Stage, till: Till) -> None:
        await stage.terminal().do({"do": "sign_in"})
        assert (await stage.sale("5.00"))["outcome"] == "approved"
        listed = (await till.ask("GET", ORDERS)).json["transactions"]
        void = await till.order("v-1", {"type": "void", "original": listed[0]["id"], "amount": "5.00"})
        assert (void.status, void.json["status"]) == (200, "approved")
        shown = await till.ask("GET", f"{ORDERS}/{listed[0]['id']}")
        assert shown.json["request_id"] == listed[0]["request_id"]
        refused = await till.order("s-1")
        assert (refused.status, refused.problem) == (403, "card_data_refused")
        assert len(stage.received("0200")) == 2

    run(staged, story, {"card_data": "refused"})


def test_a_pre_authorisation_is_completed_or_let_go(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        hold = {**SALE, "type": "preauth", "amount": "100.00"}
        first, second = await till.order("p-1", hold), await till.order("p-2", hold)
        assert [one.json["status"] for one in (first, second)] == ["approved"] * 2
        taken = await till.order("c-1", {"type": "completion", "original": "p-1", "amount": "80.00"})
        assert (taken.status, taken.json["status"], taken.json["original"]) == (200, "approved", "p-1")
        again = await till.order("c-2", {"type": "completion", "original": "p-1", "amount": "1.00"})
        assert (again.status, again.problem) == (409, "already_used")
        undone = await till.order("c-3", {"type": "completion_void", "original": "c-1"})
        assert (undone.json["status"], undone.json["amount"]) == ("approved", "80.00")
        assert (await till.order("v-1", {"type": "preauth_void", "original": "p-2"})).json["status"] == "approved"
        known = stage.state().find(first.json["request_id"])
        assert known is not None
        assert known.facts is not None
        receipt = {"approval_code": known.facts.approval_code, "date": known.facts.host_date}
        named = {"type": "preauth_void", "preauth": receipt, "card": SALE["card"], "amount": "100.00"}
        assert (await till.order("v-2", named)).json["status"] == "approved"
        wrong = await till.order("v-3", {"type": "void", "original": "p-1"})
        assert (wrong.status, wrong.problem) == (404, "no_original")

    run(staged, story)


def test_a_decline_is_an_answer(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        declined = await till.order("s-1", {**SALE, "amount": "51.51"})
        assert (declined.status, declined.json["status"], declined.json["code"]) == (200, "declined", "51")
        assert declined.json["meaning"]
        assert (await till.order("s-1", {**SALE, "amount": "51.51"})).json == declined.json

    run(staged, story, faults=(REFUSED,), change=PATIENT)


# --- the key (D6) ----------------------------------------------------------------------------------------------------


def test_d6_asked_again_it_is_answered_from_state(staged: MakeStage) -> None:
    """At once, after a restart, and from a closed batch; the host hears of it once."""

    async def story(stage: Stage, till: Till) -> None:
        first = await till.order("s-1")
        assert (await till.order('"s-1"')).json == first.json
        await stage.end()
        await stage.start()
        assert (await till.order("s-1")).json == first.json
        await settled(stage, till, "e-1")
        again = await till.order("s-1")
        assert (again.status, again.json["status"]) == (200, "approved")
        assert len(stage.received("0200")) == 1

    run(staged, story)


def test_d6_another_order_under_the_key_is_409(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        assert (await till.order("s-1")).status == 200
        for other in (
            {**SALE, "amount": "12.31"},
            {**SALE, "card": {"number": OTHER_CARD, "expiry": EXPIRY}},
            {**SALE, "card": {"number": CARD, "expiry": "3101"}},
            {**SALE, "reference": "R-2"},
            {"type": "void", "original": "s-1"},
        ):
            refused = await till.order("s-1", other)
            assert (refused.status, refused.problem, refused.json.get("sent")) == (409, "key_reused", None)
        assert (await till.order("s-1")).json["status"] == "approved"
        assert len(stage.received("0200")) == 1

    run(staged, story)


def test_d6_a_race_on_two_connections_is_one_transaction(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        answers = await asyncio.gather(*(till.order("s-1", tcp=n % 2 == 0, headers=BEARER) for n in range(8)))
        assert {(one.status, one.json["rrn"]) for one in answers} == {(200, answers[0].json["rrn"])}
        other = [till.order("s-2", {**SALE, "amount": f"{n}.00"}) for n in (1, 2, 3, 4)]
        found = sorted(one.status for one in await asyncio.gather(*other))
        assert found == [200, 409, 409, 409]
        assert len(stage.received("0200")) == 2

    run(staged, story, faults=({"do": "delay", "mti": "0200", "ms": 100},), change=PATIENT)


def test_d6_the_key_of_one_terminal_is_not_the_others(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        first = await till.order("s-1")
        second = await till.order("s-1", {**SALE, "amount": "1.00"}, f"/v1/terminals/{SECOND}/transactions")
        assert (first.json["tid"], second.json["tid"], second.status) == (TID, SECOND, 200)

    run(staged, story, tids=(TID, SECOND))


def test_d9_an_outcome_that_is_not_known_is_told_as_failed_and_reversed(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        failed = await till.order("s-1")
        assert (failed.status, failed.problem, failed.json["sent"]) == (504, "outcome_unknown", True)
        assert failed.json["transaction"]["status"] == "unknown"
        await stage.until(lambda: not stage.state().unended_reversals())
        again = await till.order("s-1")
        assert (again.status, again.json["transaction"]["status"]) == (504, "reversed")

    run(staged, story, faults=({"do": "lose_answer", "mti": "0200", "times": 1},))


def test_d13_a_refund_in_doubt_is_not_told_as_undone(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        await till.order("s-1")
        refund = {"type": "refund", "original": "s-1", "amount": "1.00"}
        doubtful = await till.order("r-1", refund)
        assert (doubtful.status, doubtful.problem, doubtful.json["sent"]) == (504, "in_doubt", True)
        assert "not undone" in doubtful.json["detail"]
        assert (await till.order("r-1", refund)).problem == "in_doubt"
        assert (await till.order("r-2", {**refund, "amount": "12.00"})).problem == "amount_differs"
        assert len(stage.received("0220")) == 1

    run(staged, story, faults=({"do": "lose_request", "mti": "0220", "times": 1},), differences=1, change=PATIENT)


def test_d17_what_cannot_be_sent_in_time_is_told_so_and_never_sent(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        stage.hang_up()
        await stage.until(lambda: not stage.daemon.link_up)
        refused = await till.order("s-1")
        assert (refused.status, refused.problem, refused.json["sent"]) == (503, "not_sent", False)
        assert (await till.order("s-1")).problem == "not_sent"
        assert stage.received("0200") == []

    run(staged, story, change={"host": {"reply_timeout_s": 0.5}})


def test_d17_what_may_still_be_sent_is_not_called_unknown(staged: MakeStage) -> None:
    """A till that lost patience must not hear "no such transaction" of an order that is sent a moment later."""

    async def story(stage: Stage, till: Till) -> None:
        first = asyncio.create_task(till.order("s-1"))
        await stage.until(lambda: stage.received("0200"))
        second = asyncio.create_task(till.order("s-2"))
        await stage.until(lambda: stage.daemon.lanes[stage.state().tid].lane.engine.agenda.queue)
        undecided = await till.ask("GET", f"{ORDERS}/s-2")
        assert (undecided.status, undecided.problem) == (409, "undecided")
        assert (await till.ask("GET", f"{ORDERS}/s-1")).json["status"] == "sent"
        assert {(await one).json["status"] for one in (first, second)} == {"approved"}
        assert (await till.ask("GET", f"{ORDERS}/s-2")).json["status"] == "approved"

    run(staged, story, faults=({"do": "delay", "mti": "0200", "ms": 400, "times": 1},), change=PATIENT)


# --- confirmation (D16) ----------------------------------------------------------------------------------------------


def test_d16_confirmed_in_time_or_reversed(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        first, second = await till.order("s-1"), await till.order("s-2")
        assert first.json["confirm_by"]
        confirmed = await till.ask("POST", f"{ORDERS}/s-1/confirm")
        assert (confirmed.status, confirmed.json["status"], confirmed.json["confirm_by"]) == (200, "approved", None)
        assert (await till.ask("POST", f"{ORDERS}/s-1/confirm", {})).status == 200
        assert second.status == 200
        await stage.until(lambda: stage.state().reversals)
        late = await till.ask("POST", f"{ORDERS}/s-2/confirm")
        assert (late.status, late.problem) == (409, "not_confirmable")
        await stage.until(lambda: not stage.state().unended_reversals())
        assert (await till.ask("GET", f"{ORDERS}/s-2")).json["status"] == "reversed"
        assert (await till.ask("POST", f"{ORDERS}/s-9/confirm")).status == 404

    run(staged, story, {"confirm_within_s": 3})


def test_d16_a_settlement_says_that_it_waits_for_a_confirmation(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        await till.order("s-1", {**SALE, "reference": "R-1042"})
        assert (await till.ask("POST", SETTLE, headers={"Idempotency-Key": "e-1"})).status == 202
        await stage.until(lambda: stage.state().settlement.phase is SettlementPhase.DRAINING)
        control = Sight(stage.daemon)
        view = terminal_view(stage.state(), control.around(stage.daemon.lanes[stage.state().tid]))
        assert [one["code"] for one in view["settlement"]["blocked_by"]] == ["confirmations"]
        named = answer("txn.show", {"id": "R-1042"}, control.everything(), control.posd())["transaction"]
        assert named["request_id"] == f"{TID}/-till/s-1"
        assert stage.received("0500") == []
        await till.ask("POST", f"{ORDERS}/s-1/confirm")
        await stage.until(lambda: stage.state().last_close is not None)

    run(staged, story, {"confirm_within_s": 60})


# --- what may be sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status", "name"),
    [
        ({"headers": {}}, 400, "no_key"),
        ({"headers": {"Idempotency-Key": "a b"}}, 400, "no_key"),
        ({"headers": {"Idempotency-Key": "x" * 65}}, 400, "no_key"),
        ({"headers": {"Idempotency-Key": CARD}}, 400, "looks_like_card"),
        ({"headers": {"Idempotency-Key": f"x{CARD}y"}}, 400, "looks_like_card"),
        ({"body": {**SALE, "reference": f"for {CARD}"}}, 400, "looks_like_card"),
        ({"body": {**SALE, "reference": f"R1 {' '.join(CARD)}"}}, 400, "looks_like_card"),
        ({"body": {"type": "void", "original": "s-9", "reference": "6225 8801 2345 6789"}}, 400, "looks_like_card"),
        ({"headers": {"Idempotency-Key": "6225-8801-2345-6789"}}, 400, "looks_like_card"),
        ({"body": {**SALE, "amount": "1.234"}}, 422, "bad_body"),
        ({"body": b"{"}, 400, "bad_body"),
        ({"headers": {"Idempotency-Key": "k", "Content-Type": "text/plain"}}, 415, "not_json"),
        ({"path": "/v1/terminals/10000009/transactions"}, 404, "unknown_terminal"),
        ({"path": f"{ORDERS}?x=1"}, 400, "bad_query"),
        ({"path": "/v2/health"}, 404, "no_such_path"),
        ({"path": "/v1/health"}, 405, "method_not_allowed"),
        ({"body": {"type": "void", "original": "s-9"}}, 404, "no_original"),
        ({"body": {"type": "void", "original": CARD}}, 404, "no_such_transaction"),
        ({"body": {"type": "void", "original": f"x{CARD}"}}, 404, "no_original"),
        ({"path": f"{ORDERS}/{CARD}/confirm", "body": {}}, 404, "no_such_transaction"),
        ({"path": f"{ORDERS}/x{CARD}/confirm", "body": {}}, 404, "no_original"),
        ({"body": {"type": "refund", "original": "s-9", "amount": "1.00"}}, 404, "no_original"),
    ],
)
def test_what_is_wrong_is_taught_and_costs_nothing(
    staged: MakeStage, how: dict[str, Any], status: int, name: str
) -> None:
    async def story(stage: Stage, till: Till) -> None:
        headers = how.get("headers", {"Idempotency-Key": "k"})
        refused = await till.ask("POST", how.get("path", ORDERS), how.get("body", SALE), headers=headers)
        assert (refused.status, refused.problem) == (status, name)
        assert CARD not in refused.body.decode()
        assert stage.received("0200") == []

    run(staged, story)


def test_a_header_twice_is_not_guessed_about(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        body = json.dumps(SALE).encode()
        head = f"POST {ORDERS} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        twice = f"{head}Idempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n".encode() + body
        assert b"no_key" in await asyncio.to_thread(till.raw, twice)
        assert stage.received("0200") == []

    run(staged, story)


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
def test_d28_tcp_wants_the_token(staged: MakeStage, header: str | None) -> None:
    async def story(stage: Stage, till: Till) -> None:
        refused = await till.order("s-1", tcp=True, headers={"Authorization": header} if header else {})
        assert (refused.status, refused.problem) == (401, "no_token")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await till.order("s-1", tcp=True, headers=BEARER)).status == 200
        assert TOKEN not in stage.log.getvalue()

    run(staged, story)


DISPLAY = "d15p1ay0" * 5


def test_d28_a_display_reads_and_does_not_sell(staged: MakeStage) -> None:
    """Each token has a name, which is who it was in the journal, and a role."""

    async def story(stage: Stage, till: Till) -> None:
        display = {"Authorization": f"Bearer {DISPLAY}"}
        assert (await till.ask("GET", "/v1/health", tcp=True, headers=display)).status == 200
        assert (await till.ask("GET", ORDERS, tcp=True, headers=display)).status == 200
        for path in (ORDERS, f"{ORDERS}/s-1/confirm", f"/v1/terminals/{TID}/settlements"):
            refused = await till.order("s-1", path=path, tcp=True, headers=display)
            assert (refused.status, refused.problem) == (403, "not_allowed")
            assert "token display may only look" in refused.json["detail"]
        assert stage.received("0200") == []
        assert (await till.order("s-2", tcp=True, headers=BEARER)).status == 200
        settles = {"Idempotency-Key": "day-1", **BEARER}
        assert (await till.ask("POST", f"/v1/terminals/{TID}/settlements", tcp=True, headers=settles)).status == 202
        (wanted,) = [json.loads(row.payload) for row in stage.rig.records("settlement_wanted")]
        assert (wanted["by"], wanted["who"]) == ("token till", {"uid": None, "user": "", "token": "till"})
        denied = [json.loads(row.payload) for row in stage.rig.records("access_denied")]
        assert [(one["who"]["token"], one["wish"], one["role"]) for one in denied] == [
            ("display", f"POST {last}", "operate") for last in ("transactions", "confirm", "settlements")
        ]
        for secret in (DISPLAY, TOKEN):
            assert secret not in stage.log.getvalue()
            assert secret not in (stage.folder / "state" / "journal" / "journal.db").read_bytes().decode("latin-1")

    stage = staged()
    file = stage.folder / "display.token"
    file.touch(mode=0o600)
    file.write_text(DISPLAY)
    till = with_till(stage, tokens=[{"name": "display", "file": str(file), "role": "view"}])

    async def told() -> None:
        await stage.start()
        await story(stage, till)
        await stage.end()

    play(stage, lambda stage: told())


def test_d32_wrong_tokens_are_told_so_often_a_minute_and_a_right_one_always_passes(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        wrong = {"Authorization": "Bearer " + "w" * 40}
        said = [(await till.ask("GET", "/v1/health", tcp=True, headers=wrong)).status for _ in range(14)]
        assert said == [401] * 10 + [429] * 4
        assert (await till.ask("GET", "/v1/health", tcp=True, headers=BEARER)).status == 200
        assert (await till.ask("GET", "/v1/health", tcp=True)).status == 401  # without any: no attempt
        denied = [json.loads(row.payload) for row in stage.rig.records("access_denied")]
        assert 0 < len(denied) < 14  # as unreadable input: journal.unreadable_per_minute_max
        assert {(one["door"], one["wish"], one["role"]) for one in denied} == {("till", "a token, from 127.0.0.1", "")}
        assert "wwwww" not in stage.log.getvalue()

    run(staged, story)


def test_d28_who_may_use_the_socket_is_said_by_its_mode(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        mode = os.stat(till.path).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        await stage.end()
        assert not Path(till.path).exists()
        await stage.start()

    run(staged, story)


def test_a_port_that_is_taken_ends_the_start(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", till.port)
        with pytest.raises(ConfigError, match="cannot listen for tills on 127"):
            await stage.start()
        server.close()

    stage = staged()
    till = with_till(stage)

    async def whole(stage: Stage) -> None:
        await story(stage, till)

    play(stage, whole)


def test_too_many_connections_are_turned_away_and_the_others_served(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        first = till.connect()
        assert (await till.ask("GET", "/v1/health", connection=first)).status == 200
        full = await till.ask("GET", "/v1/health")
        assert (full.status, full.problem, full.headers["retry-after"]) == (503, "door_full", "1")
        assert (await till.ask("GET", "/v1/health", connection=first)).status == 200
        assert (await till.ask("GET", "/v1/health", headers=BEARER, tcp=True)).status == 200  # each has its own count
        by_socket, by_tcp = (door for door in stage.daemon.doors if door.kind == "till")
        assert (by_socket.up, by_socket.connected, by_socket.refused, by_tcp.refused) == (True, 1, 1, 0)
        first.close()

    run(staged, story, {"connections_max": 1})


def test_whoever_only_holds_places_keeps_no_till_out(staged: MakeStage) -> None:
    """Nobody needs a token to connect."""

    async def story(stage: Stage, till: Till) -> None:
        first = till.connect(tcp=True)
        assert (await till.ask("GET", "/v1/health", headers=BEARER, connection=first)).status == 200
        idlers = [socket.create_connection(("127.0.0.1", till.port)) for _ in range(6)]
        for idler in idlers[::2]:
            idler.sendall(b"GET /v1/health HTTP/1.1\r\nHost: ")
        assert (await till.ask("GET", "/v1/health", headers=BEARER, tcp=True)).status == 200
        assert (await till.ask("GET", "/v1/health", headers=BEARER, connection=first)).status == 200
        (by_tcp,) = (door for door in stage.daemon.doors if door.where.endswith(str(till.port)))
        assert by_tcp.connected <= 2
        assert by_tcp.refused > 0
        for idler in idlers:
            idler.close()
        first.close()

    run(staged, story, {"connections_max": 2})


def test_whatever_bytes_come_nobody_else_notices(staged: MakeStage) -> None:
    """Whole orders, damaged at random: each gets a whole answer or none, and the terminal sells meanwhile."""
    chance = random.Random(20_260_302)
    body = json.dumps(SALE).encode()
    head = f"POST {ORDERS} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"

    def damaged(number: int) -> bytes:
        data = f"{head}Idempotency-Key: k-{number}\r\n\r\n".encode() + body
        for _ in range(chance.randrange(4)):
            at, cut = chance.randrange(len(data)), chance.randrange(20)
            data = data[:at] + chance.randbytes(chance.randrange(6)) + data[at + cut :]
        return data[: chance.randrange(len(data))] if number % 5 == 0 else data

    async def story(stage: Stage, till: Till) -> None:
        await stage.terminal().do({"do": "sign_in"})
        for number in range(200):
            said = await asyncio.to_thread(till.raw, damaged(number))
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            if number % 40 == 0:
                assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert (await till.order("after")).status == 200

    run(staged, story)


# --- questions -------------------------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_command_line(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        sale = await till.order("s-1")
        await till.order("s-2", {**SALE, "amount": "51.51"})
        control = Sight(stage.daemon)
        shown = answer("txn.show", {"id": sale.json["request_id"]}, control.everything(), control.posd())["transaction"]
        shared = set(shown) & set(sale.json) - {"original"}
        assert len(shared) > 15
        assert {name: sale.json[name] for name in shared} == {name: shown[name] for name in shared}
        declined = await till.ask("GET", f"{ORDERS}?status=declined&limit=5")
        assert [one["id"] for one in declined.json["transactions"]] == ["s-2"]
        assert (await till.ask("GET", f"{ORDERS}?limit=1")).json["left_out"] == 1
        for query in ("status=x", "limit=0", "limit=x", "batch=0", "limit=1&limit=2", "tid=10000001"):
            assert (await till.ask("GET", f"{ORDERS}?{query}")).problem == "bad_query"
        health = await till.ask("GET", "/v1/health")
        assert (health.json["good"], health.json["link_up"], health.json["terminals"][0]["tid"]) == (True, True, TID)

    run(staged, story, faults=(REFUSED,), change=PATIENT)


def test_a_settlement_is_begun_once_for_each_key(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        nothing = await till.ask("POST", SETTLE, headers={"Idempotency-Key": "e-0"})
        assert (nothing.status, nothing.problem) == (409, "not_settled")
        await till.order("s-1")
        await settled(stage, till, "e-1")
        await till.order("s-2")
        assert (await till.ask("POST", SETTLE, {}, headers={"Idempotency-Key": "e-1"})).status == 202
        assert len(stage.received("0500")) == 1
        assert (await till.ask("POST", SETTLE, {"x": 1}, headers={"Idempotency-Key": "e-2"})).status == 422

    run(staged, story)


def test_the_journal_keeps_what_was_asked_and_told_without_the_card(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        await till.order("s-1", {**SALE, "reference": "R-1"})
        await till.order("s-1", {**SALE, "reference": "R-1"})
        with JournalReader(stage.folder / "state" / "journal") as reader:
            rows = [row for row in reader.messages() if row.peer == "till"]
        assert [(row.direction, row.mti) for row in rows] == [("in", "order"), ("out", "answer")] * 2
        said = json.loads(rows[0].fields)
        assert said.pop("who") == who_is(Peer(os.geteuid())).name
        assert said == {
            "type": "sale",
            "amount": "12.30",
            "card": "622588******6789",
            "reference": "R-1",
        }
        assert {row.request_id for row in rows} == {f"{TID}/-till/s-1"}

    run(staged, story)


def test_stopping_finishes_what_is_under_way(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        under_way = asyncio.create_task(till.order("s-1"))
        await stage.until(lambda: stage.received("0200"))
        await stage.end()
        assert (await under_way).json["status"] == "approved"
        await stage.start()

    run(staged, story, faults=({"do": "delay", "mti": "0200", "ms": 300},), change=PATIENT)


def test_behind_a_fence_a_till_is_told(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        stage.daemon.lanes[stage.state().tid].fenced = "a test"
        refused = await till.order("s-1")
        assert (refused.status, refused.problem) == (503, "fenced")
        stage.daemon.lanes[stage.state().tid].fenced = ""

    run(staged, story)
