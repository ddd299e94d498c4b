"""Chips over real sockets: field 55 both ways, scripts and their results, refusals, lost scripts (1.7, 1.10)."""

import pytest

from posd.iso8583.tlv import build
from simulators.chip import ChipDetail, elements_55, is_chip_entry, read_55, write_55
from simulators.fields import Unreadable
from simulators.host.faults import Rule
from tests.simulators.counter import CHIP, SCRIPT, STRIPE, Counter, at_the_counter


def test_the_issuer_answers_a_chip_with_its_authentication_and_scripts() -> None:
    async def scene(one: Counter) -> None:
        result = await one.do("sale", card=CHIP, expiry="3012", amount="5.00", entry="051")
        assert (result["script"], result["issuer_authentication"]) == (True, True)
        stan = int(str(result["stan"]))
        answer = one.acquirer.books.terminals["10000001"].batch.entries[stan].answer
        tags = [tag for tag, _ in elements_55(answer.get(55))]
        assert tags == ["91", "72", "72"]
        assert one.entry(stan)["script"] == "sent"
        await one.good("script_result", of_stan=stan)
        assert (one.entry(stan)["script"], one.entry(stan)["script_result"]) == ("reported", "2000000000")
        assert (await one.do("settle"))["outcome"] == "balanced"

    assert at_the_counter(scene, card={"scripts": (SCRIPT, SCRIPT)}).clean()


def test_a_stripe_gets_nothing_of_it() -> None:
    async def scene(one: Counter) -> None:
        result = await one.do("sale", card=CHIP, expiry="3012", amount="5.00")
        assert "script" not in result
        assert one.entry(int(str(result["stan"])))["script"] is None

    assert at_the_counter(scene, card={"scripts": (SCRIPT,)}).clean()


def test_what_happened_offline_is_answered_without_authentication_or_scripts() -> None:
    async def scene(one: Counter) -> None:
        result = await one.do("ec_sale", card=CHIP, expiry="3012", amount="5.00")
        assert result["outcome"] == "approved"
        assert not {"script", "issuer_authentication"} & result.keys()
        assert one.entry(int(str(result["stan"])))["script"] is None

    assert at_the_counter(scene, card={"scripts": (SCRIPT,)}).clean()


def test_the_terminal_reports_scripts_before_its_totals() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("sale", "5.00")
        assert (await one.do("settle"))["outcome"] == "balanced"
        assert one.entry(stan)["script"] == "reported"

    assert at_the_counter(scene, card={"scripts": (SCRIPT,)}).clean()


def test_totals_before_the_script_result_are_remarked() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("sale", "5.00")
        assert (await one.do("totals"))["outcome"] == "balanced"
        assert f"before the script result of STAN {stan}" in one.books["remarks"][-1]

    at_the_counter(scene, card={"scripts": (SCRIPT,)})


def test_a_script_that_is_lost_and_an_arpc_that_is_wrong() -> None:
    async def scene(one: Counter) -> None:
        lost = await one.do("sale", card=CHIP, expiry="3012", amount="5.00", entry="051")
        assert "script" not in lost
        assert lost["issuer_authentication"] is True
        assert one.entry(int(str(lost["stan"])))["script"] == "sent"
        bad = await one.do("sale", card=CHIP, expiry="3012", amount="6.00", entry="051")
        assert (bad["outcome"], bad["script"]) == ("approved", True)
        assert (await one.do("settle"))["outcome"] == "balanced"
        assert "before the script result of STAN 2" in one.books["remarks"][-1]

    rules = (Rule(do="drop_script", mti="0200", nth=1), Rule(do="bad_arpc", mti="0200", nth=2))
    at_the_counter(scene, *rules, card={"scripts": (SCRIPT,)})


def test_a_notice_of_what_is_not_ours_gets_25_and_one_without_script_a_remark() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("sale", "5.00")
        await one.good("script_result", of_stan=stan)
        assert "was sent no script" in one.books["remarks"][-1]
        one.client.terminal.log[stan].batch = 77
        one.client.terminal.holds[77, stan] = one.client.terminal.log[stan]
        assert (await one.do("script_result", of_stan=stan, of_batch=77))["code"] == "25"

    at_the_counter(scene)


def test_a_chip_that_refuses_is_reversed_with_96_and_uploaded_as_failed() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("sale", "5.00")
        await one.good("chip_refusal", of_stan=stan)
        assert (one.state(stan), one.spent(CHIP), one.totals()) == ("reversed", 0, (0, 0, 0, 0))
        assert (await one.do("settle"))["uploads"] == 1
        done = one.settlement
        assert (done["chip_details"], done["chip_failed"], done["end_code"], done["end_count"]) == (1, 1, "207", 1)

    assert at_the_counter(scene).clean()


def test_an_entry_mode_decides_whether_field_55_belongs_there() -> None:
    assert [is_chip_entry(mode) for mode in ("051", "072", "981", "021", "012", None)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("text", ["9F2608", "zz", "9F", write_55({"95": b"1"}) * 2])
def test_what_is_no_tlv_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match="field 55"):
        read_55(text)


@pytest.mark.parametrize(
    "text",
    ["", "6", "61000000000000123415", "6100000000000012341567", "611100000000001234156", "71009900000000123415611"],
)
def test_chip_details_are_read_strictly(text: str) -> None:
    with pytest.raises(Unreadable, match="field 62"):
        ChipDetail.parse(text.encode().hex())


def test_chip_details_come_back_as_they_were_written() -> None:
    good, failed = ChipDetail("00", "00", 1_234), ChipDetail("01", "11", 9_999_999, "1", "0")
    assert bytes.fromhex(good.format()) == b"610000000000001234156"
    assert bytes.fromhex(failed.format()) == b"71011100000999999915610"
    assert [ChipDetail.parse(one.format()) for one in (good, failed)] == [good, failed]


def test_findings_about_chips() -> None:
    """A chip without its fields, a stripe with them, a reversal that says too much."""

    async def scene(one: Counter) -> None:
        terminal = one.client.terminal
        stan = await one.chip("sale", "5.00")
        whole = terminal.log[stan].sent.message.get(55)
        message = terminal.log[stan].sent.message

        async def say(mti: str, **changes: str | None) -> None:
            fields = message.with_({11: terminal._next_stan(), **{int(n[1:]): text for n, text in changes.items()}})
            fields = fields.__class__(mti, dict(fields.fields))
            await one.client.exchange(terminal.request("odd", fields), 0.5)

        await say("0200", f55=None, f23=None)
        await say("0200", f55="9F26")
        await say("0200", f55=build([("9F26", bytes(8))]).hex())
        await say("0200", f22="022")
        reversal = terminal.reverse(stan).message.with_({55: whole})
        await one.client.exchange(terminal.request("reverse", reversal), 0.5)

    books = at_the_counter(scene).books
    found = [text.partition(": ")[2] for text in books["conformance"]]
    assert found[:2] == ["0200 of a chip without field 23", "0200 of a chip without field 55"]
    assert found[2] == "field 55: BER-TLV expected"
    assert "0200: field 55 without tag 9F10" in found
    assert "0200 with field 55 and entry mode 022" in found
    assert any("field 55 of a reversal with tag 9F26" in text for text in books["remarks"])
    assert STRIPE not in str(books)
