"""Each MAC and each kind of keys through a whole posd: host, journal, terminal, real sockets (reference 1.11)."""

from collections.abc import Callable
from typing import Any

import pytest

from simulators.macs import Keying
from simulators.wire_form import WireForm
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play

MakeStage = Callable[..., Stage]

VARIANTS: dict[str, dict[str, str]] = {
    "unionpay-ecb": {"sign_in": "004"},
    "unionpay-ecb, double": {"mac_algorithm": "unionpay-ecb", "sign_in": "003", "mak": "double"},
    "x9.9": {"mac_algorithm": "x9.9", "sign_in": "001"},
    "x9.9 as text": {"mac_algorithm": "x9.9", "sign_in": "004", "mac_output": "hex"},
    "x9.19": {"mac_algorithm": "x9.19", "sign_in": "004", "mak": "double"},
    "3des-cbc": {"mac_algorithm": "3des-cbc", "sign_in": "003", "mak": "double"},
    "9606": {"mac_algorithm": "9606", "sign_in": "004"},
    "sm4-ecb": {"mac_algorithm": "sm4-ecb", "sign_in": "006"},
    "sm4-cbc": {"mac_algorithm": "sm4-cbc", "sign_in": "006", "sm4_key_block": "without_tdk"},
}
LOST = {"mti": "0200", "amount": "*13", "do": "lose_answer"}


def stage_of(staged: MakeStage, how: dict[str, str], **more: Any) -> Stage:
    """posd, host and terminal that agree on `how`; the terminal signs all that it says."""
    keying = {name: value for name, value in how.items() if name != "sign_in"}
    change = {"host": how, **more.pop("change", {})}
    terminal = {"sign_in_code": how["sign_in"], "keying": Keying.model_validate(keying)}
    behaviour = {"keys": keying, **more.pop("behaviour", {})}
    return staged(change=change, behaviour=behaviour, terminals=terminal, **more)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sale_and_a_reversal_under_each_mac(staged: MakeStage, name: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        sale = await stage.sale("1.00")
        assert sale["outcome"] == "approved"
        refund = {"do": "refund", "card": CARD, "expiry": EXPIRY, "amount": "0.50", "rrn": sale["rrn"], "date": "0101"}
        assert (await terminal.do(refund))["outcome"] == "approved"  # D28: only a good MAC lets it pass
        assert (await stage.sale("2.13"))["code"] == "98"
        await stage.until(lambda: not stage.state().unended_reversals())
        assert [row.kind for row in stage.rig.records("reversal_acknowledged")] == ["reversal_acknowledged"]
        await stage.end()
        assert stage.differences() == []

    play(stage_of(staged, VARIANTS[name], faults=(LOST,)), story)


def test_d27_a_pin_block_of_sixteen_bytes_goes_on_unopened(staged: MakeStage) -> None:
    """D27: with SM4 keys, where the acquirer says so; the host opens what the terminal's PIN pad made."""

    async def story(stage: Stage) -> None:
        card = stage.acquirer.books.cards[CARD]
        card.settings = card.settings.model_copy(update={"pin": "123456"})
        await stage.start()
        terminal = stage.terminal()
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("1.00", pin="123456"))["outcome"] == "approved"
        sent = terminal.terminal.log[2].sent.message
        assert len(sent.get(52) or "") == 32
        assert (await stage.sale("2.00", pin="654321"))["code"] == "55"
        await stage.end()
        assert stage.differences() == []

    sm4 = {"mac_algorithm": "sm4-ecb", "sm4_security_digit": "3", "sm4_pin_block_bytes": 16}
    keying = Keying.model_validate(sm4)
    terminal = {"sign_in_code": "006", "keying": keying, "codec": WireForm().codec(keying.sm4_pin_block_bytes)}
    play(staged(change={"host": {**sm4, "sign_in": "006"}}, behaviour={"keys": sm4}, terminals=terminal), story)


@pytest.mark.parametrize("name", ["x9.19", "sm4-ecb"])
def test_a_wrong_mac_of_either_side_is_seen(staged: MakeStage, name: str) -> None:
    """The host's: an approval with a bad MAC is reversed. The terminal's: refused and not sent."""

    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await stage.sale("1.14"))["code"] == "98"
        await stage.until(lambda: not stage.state().unended_reversals())
        terminal.terminal.keying = Keying(mac_algorithm="9606")
        keys = terminal.terminal.keys
        assert keys is not None
        sent = len(stage.received("0200"))
        assert (await stage.sale("2.00"))["code"] == "A0"
        assert len(stage.received("0200")) == sent
        await stage.end()
        assert stage.differences() == []

    wrong = {"mti": "0200", "amount": "*14", "do": "wrong_mac"}
    play(stage_of(staged, VARIANTS[name], faults=(wrong,)), story)


def test_a_host_with_a_double_length_mak_says_so_when_posd_expects_a_single_one(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start(signed_in=False)
        await stage.until(lambda: "sign_in_failed" in stage.events())
        assert "host.mak: double" in stage.log.getvalue()
        assert not stage.state(TID).session.signed_in

    play(staged(behaviour={"keys": {"mak": "double"}}), story)
