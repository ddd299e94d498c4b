"""`posd settle --show` and `--slip` on a real journal: in both languages, with and without a daemon, status 0, 1, 2."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from posd.cli import close_words, slip, speech
from posd.cli.lang import Lang
from posd.cli.screen import columns
from posd.core.answers import GroupResult
from posd.core.events import SettleNow, Tick
from posd.core.state import CloseOutcome, ReversalStatus, SettlementCause
from posd.daemon.shown import words
from tests.daemon.shop import OTHER_TID, TID

Posd = Callable[..., Any]
END = {CloseOutcome.AGREED: "totals agreed", CloseOutcome.OUT_OF_BALANCE: "did not agree"}


def close(place: Any, result: GroupResult = GroupResult.BALANCED) -> None:
    """Settle by hand; an unbalanced host wants every item, and closes."""
    place.runner.happen(SettleNow(f"c{place.runner.state.batch.identity}", "Li"))
    place.runner.signs_in().agrees(result)
    while place.runner.state.exchange.kind.value in ("upload", "trailer"):
        place.runner.answers("")
    place.runner.signs_in()


def unconfirmed(place: Any) -> None:
    """The host answers a repeat as if it had closed; a person finds out that it did."""
    place.runner.happen(SettleNow("c", "Li"))
    place.runner.signs_in().keeps_silent()
    place.shop.clock.wait(1000)
    place.runner.happen(Tick())
    place.runner.answers("94")


def test_an_agreed_settlement_in_both_languages(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(1230)
    close(place)
    ran = posd("settle", "--show", "--tid", TID)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"terminal {TID}, batch 000007: closed, totals agreed"
    assert "2026-03-02 10:00:00  wanted by a person, by Li" in lines
    assert any(line.startswith("domestic  debit   12.30 (1)  12.30 (1)") for line in lines)
    assert "Uploaded" not in ran.out
    chinese = posd("settle", "--show", "7", "--tid", TID, "--lang", "zh")
    assert chinese.status == 0
    assert f"终端 {TID}，批次 000007：已结算，对账平" in chinese.out
    assert "应结算：人工，操作人 Li" in chinese.out
    assert "内卡  借记  12.30 (1)" in chinese.out


def test_out_of_balance_shows_each_item_and_is_a_finding(posd: Posd, place: Any) -> None:
    """Without a daemon, too."""
    for amount in range(100, 1100, 100):
        place.runner.sells(amount)
    close(place, GroupResult.UNBALANCED)
    ran = posd("settle", "--show")
    assert (ran.status, ran.err) == (1, "")
    assert "closed, but the totals did not agree" in ran.out
    assert "Uploaded: 10 of 10, set aside: 0" in ran.out
    assert ran.out.count("622848******0017") == 10
    assert "upload of 8 item(s) after the first 0" in ran.out
    assert "No first suspect" in ran.out
    assert OTHER_TID not in posd("settle", "--show", "7").out, "it only has an open batch of that number"
    assert posd("settle", "--show", "7", "--tid", OTHER_TID).status == 0
    chinese = posd("settle", "--show", "--lang", "zh")
    assert "已结算，但对账不平" in chinese.out
    assert "已上送 10/10，搁置 0" in chinese.out
    said = json.loads(posd("settle", "--show", "--json").out)
    assert not said["good"]
    assert [report["tid"] for report in said["settlements"]] == [TID]
    assert len(said["settlements"][0]["items"]) == 10


def test_unconfirmed_has_its_own_words_before_and_after_the_decision(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(500)
    unconfirmed(place)
    ran = posd("settle", "--show")
    assert ran.status == 1
    assert "not known whether the host closed the batch" in ran.out
    assert "无法确认主机是否已结算" in posd("settle", "--show", "--lang", "zh").out
    place.runner.keeps_silent()
    decided = posd("settle", "--tid", TID, "--decide", "closed", "--by", "Wang", "--reason", "the bank paid")
    assert decided.status == 0
    ran = posd("settle", "--show", "7")
    assert ran.status == 1
    assert re.search(r"decided that the host closed it, by Wang \(\w+\): the bank paid", ran.out)
    assert "not confirmed by the host" in ran.out
    assert re.search(
        r"人工认定：主机已结算，操作人 Wang（\w+）：the bank paid", posd("settle", "--show", "7", "--lang", "zh").out
    )


def test_an_empty_day_says_that_there_was_nothing(posd: Posd, place: Any, served: Any) -> None:
    place.shop.clock.wait(14 * 3600)
    place.runner.happen(Tick())
    ran = posd("settle", "--show", "--tid", TID)
    assert ran.status == 0
    assert "nothing to settle" in ran.out
    assert "无交易，未结算" in posd("settle", "--show", "--tid", TID, "--lang", "zh").out


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_slip_is_forty_columns_wide(posd: Posd, place: Any, served: Any, lang: str) -> None:
    place.runner.sells(123456)
    place.runner.sells(700)
    close(place, GroupResult.UNBALANCED)
    ran = posd("settle", "--slip", "7", "--tid", TID, "--lang", lang)
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert max(columns(line) for line in lines) <= slip.WIDTH
    filled = [line for line in lines if "1241.56" in line or TID in line or "898100012345678" in line]
    assert [columns(line) for line in filled] == [slip.WIDTH] * 3, "values stand at the right edge"
    assert ("结 算 单" in ran.out, "SETTLEMENT" in ran.out) == (lang == "zh", lang == "en")
    assert ("对账不平" in ran.out, "did not agree" in ran.out) == (lang == "zh", lang == "en")
    assert "\x1b" not in ran.out


def test_the_slip_of_a_difference_shows_the_hosts_side() -> None:
    row = {"group": "domestic", "side": "debit", "ours": "1.00", "ours_count": 1, "differs": True}
    row |= {"host": "8.77", "host_count": 2, "difference": "-7.77", "difference_count": -1}
    report = {"tid": TID, "batch": 7, "outcome": "out_of_balance", "phase": None, "text": "x", "groups": [row]}
    report |= {"begun_at": None, "closed_at": "2026-03-02T23:00:09+08:00", "host": {}, "uploaded": 1, "set_aside": 2}
    report |= {"carried_over": [{"reversal": "owed"}, {"reversal": "acknowledged"}]}
    for lang in Lang:
        text = slip.slip(report, "898100012345678", "2026-03-02 23:00:30", lang)
        assert "-7.77" in text
        assert "2026-03-02 23:00:09" in text
        assert "2026-03-02 23:00:30" in text
        assert max(columns(line) for line in text.splitlines()) <= slip.WIDTH


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--show", "99"], "knows no settlement of batch 000099"),
        (["--show", "--tid", OTHER_TID], f"no settlement of a batch of terminal {OTHER_TID}"),
        (["--show", "--tid", "99999999"], "no terminal"),
        (["--show", "--slip"], "give one of"),
        (["--slip", "--json"], "--show --json"),
        (["--show", "--by", "Li"], "only read"),
        (["--show", "0"], "greater than or equal to 1"),
        (["--show", "--lang", "fr"], "en or zh"),
        (["7"], "goes with --show or --slip"),
    ],
)
def test_show_misused(posd: Posd, place: Any, served: Any, args: list[str], text: str) -> None:
    ran = posd("settle", *args)
    assert ran.status == 2
    assert text in ran.err
    assert ran.err.count("\n") == 1


def test_both_languages_know_every_word() -> None:
    assert set(close_words.EVENTS) == set(words.EVENT)
    assert set(close_words.SUSPECTS) == set(words.SUSPECT)
    assert set(close_words.CAUSES) == set(SettlementCause)
    assert set(close_words.REVERSALS) == set(ReversalStatus)
    assert set(speech.OUTCOMES) == set(CloseOutcome)
    assert len({*words.OUTCOME.values()}) == len({*speech.OUTCOMES.values()}) == len(CloseOutcome)


def test_every_kind_has_a_word_in_both_languages() -> None:
    from posd.cli.close_words import LABELS
    from posd.core.rules import TxnKind

    assert [kind for kind in TxnKind if not all(LABELS.get(kind.value, ("",)))] == []
