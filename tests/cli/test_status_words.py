"""What `posd status` says of doors, keys, and what was alerted lately; in both languages, from real engines."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from posd.cli.lang import Lang
from posd.cli.reason_words import REASONS, reason
from posd.cli.speech import FINDINGS, TEXTS, TO_DO
from posd.core import events as e
from posd.core.answers import GroupResult
from posd.core.state import CloseOutcome
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.shown import findings
from posd.daemon.shown.reasons import CODES, about_keys
from posd.daemon.shown.reasons import reason as known
from posd.errors import KeyTrouble
from posd.security.keys import ClearTmk, layout_of
from tests.daemon.shop import TID

Posd = Callable[..., Any]


def found(posd: Posd) -> dict[str, str]:
    said = json.loads(posd("status", "--json", "--tid", TID).out)
    return {one["code"]: one["level"] for one in said["findings"]}


def test_a_door_that_is_full_needs_a_person_while_it_turns_away(posd: Posd, place: Any, served: Any) -> None:
    place.shop.doors = [DoorShown("tcp", "127.0.0.1:7000", True, "", 2, 2, 3, 400.0, 999.0)]
    ran = posd("status")
    assert ran.status == 1
    assert "door for terminals 127.0.0.1:7000: FULL, 2 of 2 connected" in ran.out
    assert "turned 3 connection(s) away since 2026-03-02T09:50:00+08:00" in ran.out
    assert "raise door.connections_max" in ran.out
    assert "已满，已连接 2/2 个" in posd("status", "--lang", "zh").out
    assert found(posd) == {"door_full": "alert"}
    place.shop.clock.wait(3600)
    assert found(posd) == {"door_was_full": "note"}, "nobody knocked for an hour"
    place.shop.doors = [DoorShown("tcp", "127.0.0.1:7000", True, "", 1, 2)]
    assert found(posd) == {}
    assert posd("status").status == 0


def test_a_serial_door_that_is_down_is_named_with_its_reason(posd: Posd, place: Any, served: Any) -> None:
    place.shop.doors = [DoorShown("serial", "serial:///dev/ttyUSB7", False, "No such file or directory", 0, 1)]
    ran = posd("status")
    assert ran.status == 1
    assert "door for a terminal serial:///dev/ttyUSB7: DOWN (No such file or directory)" in ran.out
    assert "put its adapter or cable back" in ran.out
    assert "中断（设备不存在或已拔出）" in posd("status", "--lang", "zh").out
    assert found(posd) == {"door_down": "alert"}
    place.shop.doors = [DoorShown("serial", "serial:///dev/ttyUSB7", True, "", 1, 1)]
    assert "open, 1 connected" in posd("status").out, "a line with its one terminal is not full"


def test_keys_that_do_not_open_need_a_person(posd: Posd, place: Any, served: Any) -> None:
    because = trouble(lambda: ClearTmk(bytes(range(16))).unwrap("00" * 40, layout_of("003", "single")))
    sign_in_anew(place.runner, because)
    ran = posd("status", "--tid", TID)
    assert ran.status == 1
    assert "KEYS DO NOT FIT" in ran.out
    assert "compare the TMK" in ran.out
    assert "终端 TMK 与主机不一致" in posd("status", "--lang", "zh").out
    assert found(posd)["keys_wrong"] == "alert"


def trouble(work: Callable[[], object]) -> str:
    with pytest.raises(KeyTrouble) as caught:
        work()
    return str(caught.value)


def sign_in_anew(runner: Any, because: str) -> None:
    """A settlement begins with a sign-in; the keys in its answer do not open."""
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.answers("00", wrapped_keys=None, key_trouble=because)
    assert runner.state.session.out_because == because


def test_a_close_out_of_balance_is_a_finding_until_the_next_good_one(posd: Posd, place: Any, served: Any) -> None:
    runner = place.runner
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.signs_in().agrees(GroupResult.UNBALANCED).answers("").answers("").signs_in()
    assert found(posd)["last_close"] == "alert"
    assert posd("status").status == 1
    place.shop.clock.wait(24 * 3600)
    runner.happen(e.Tick())
    assert runner.state.last_close.outcome is CloseOutcome.EMPTY, "nothing was sold that day"
    assert found(posd)["last_close"] == "alert", "which says nothing of the batch before"
    runner.sells()
    runner.happen(e.SettleNow("c2", "Li"))
    runner.signs_in().agrees().answers("").signs_in()
    assert "last_close" not in found(posd)
    assert posd("status").status == 0


def test_what_was_alerted_lately_is_noted_and_counted(posd: Posd, place: Any, served: Any) -> None:
    for _ in range(2):
        place.runner.lately.note("request_key_reused", place.shop.clock.wall, "10000001/000001/000001/0200/000000")
        place.shop.clock.wait(60)
    said = json.loads(posd("status", "--json", "--tid", TID).out)
    assert said["good"], "nothing has to be done about what was refused"
    assert said["terminals"][0]["alerted"][0]["count"] == 2
    assert said["terminals"][0]["alerted"][0]["last_at"] == "2026-03-02T10:01:00+08:00"
    assert "refused (2 time(s), last at 2026-03-02T10:01:00+08:00)" in posd("status").out
    assert "（2 次，最近 2026-03-02T10:01:00+08:00）" in posd("status", "--lang", "zh").out
    place.shop.clock.wait(findings.LATELY_S)
    assert found(posd) == {}


def test_the_host_is_never_signed_in_without_a_line(posd: Posd, place: Any, served: Any) -> None:
    assert "signed in" in posd("status", "--tid", TID).out
    place.shop.link_up, place.shop.link_why = False, "cannot connect to 10.0.0.1:5000: Connection refused"
    ran = posd("status", "--tid", TID)
    assert "no line" in ran.out
    assert "signed in" not in ran.out
    assert "无法连接 10.0.0.1:5000：连接被拒绝" in posd("status", "--lang", "zh").out


def test_nor_when_posd_does_not_run(posd: Posd, place: Any) -> None:
    said = json.loads(posd("status", "--json").out)
    assert [terminal["host"] for terminal in said["terminals"]] == ["not_running", "not_running"]
    assert "signed in" not in posd("status").out


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (trouble(lambda: ClearTmk(bytes(range(16))).unwrap("00" * 39, layout_of("003", "single"))), "key_block_length"),
        ("the held keys do not open: MAK: wrong check value; the terminal's TMK is not the host's", "held_keys"),
    ],
)
def test_each_trouble_of_the_keys_is_known_as_one(text: str, code: str) -> None:
    found = known(text)
    assert found is not None
    assert found.code == code
    assert about_keys(text)
    assert reason(Lang.ZH, text) != text


def test_a_reason_within_a_reason_and_one_of_no_known_shape() -> None:
    text = "the sign-in before it failed: the host answered A0"
    assert reason(Lang.ZH, text) == "结算前签到失败：主机应答 A0"
    assert reason(Lang.EN, text) == text
    assert reason(Lang.ZH, "a giraffe stood on it") == "a giraffe stood on it"
    assert not about_keys("the host answered A0"), "a code is the host's word, not the keys'"


def test_every_finding_and_reason_has_both_languages() -> None:
    assert set(REASONS) == set(CODES)
    for code in findings.LATELY:
        assert code in FINDINGS
        assert code in TO_DO
    assert set(findings.MACHINE) <= set(FINDINGS)
    for english, chinese in TEXTS.values():
        assert english
        assert chinese
