"""A day with everything over real sockets: balanced, and not balanced and uploaded completely (1.7, types 1 to 7)."""

import pytest

from simulators.chip import ChipDetail
from simulators.fields import Field61
from simulators.host.faults import Rule
from tests.simulators.counter import CHIP, FOREIGN, SCRIPT, STRIPE, Counter, at_the_counter

SINGLES, RECORDS, CHIPS = 7, 7, 6


async def everything(one: Counter) -> None:
    """One of each kind that a day can have."""
    sale = await one.stripe("sale", "10.00")
    await one.stripe("sale", "11.00", FOREIGN)
    await one.good("void", of_stan=sale)
    hold = await one.stripe("preauth", "100.00")
    done = await one.good("complete", of_stan=hold, amount="90.00")
    await one.good("complete_void", of_stan=done)
    await one.good("complete_notice", of_stan=hold, amount="80.00")
    released = await one.stripe("preauth", "20.00")
    await one.good("preauth_void", of_stan=released)
    offline = await one.stripe("offline_sale", "50.00", approval="777777")
    await one.good("adjust", of_stan=offline, amount="45.00")
    await one.stripe("offline_sale", "51.00")
    tipped = await one.stripe("sale", "30.00")
    await one.good("tip", of_stan=tipped, amount="33.00")
    await one.stripe("refund", "5.00", rrn="123456789012", date="1121")
    spent = await one.chip("ec_sale", "20.00")
    await one.good("ec_refund", card=CHIP, expiry="3012", amount="1.00", of_stan=spent, date="1122")
    await one.chip("sale", "12.00")
    await one.chip("preauth", "13.00", entry="072")
    refused = await one.chip("sale", "14.00")
    await one.good("chip_refusal", of_stan=refused)
    unproven = await one.chip("sale", "15.00")
    assert (await one.do("issuer_unproven", of_stan=unproven))["outcome"] == "done"
    await one.chip("ec_load", "16.00")
    cash = await one.chip("ec_cash_load", "17.00")
    await one.good("ec_cash_load_void", of_stan=cash)
    await one.stripe("sale", "18.00")
    reversed_ = await one.stripe("sale", "19.00")
    await one.good("reverse", stan=reversed_)


def test_a_day_with_everything_balances_and_uploads_its_chip_details() -> None:
    async def scene(one: Counter) -> None:
        await everything(one)
        done = await one.do("settle")
        assert (done["outcome"], done["uploads"]) == ("balanced", CHIPS)
        books = one.settlement
        assert (books["uploaded"], books["chip_details"], books["chip_failed"]) == (0, CHIPS, 2)
        assert (books["end_code"], books["end_count"], books["end_count_agrees"]) == ("207", CHIPS, True)
        assert (books["chip_odd"], books["chip_missing"]) == ([], [])

    assert at_the_counter(scene, card={"scripts": (SCRIPT,)}).clean()


def test_a_day_with_everything_that_does_not_balance_is_uploaded_completely() -> None:
    async def scene(one: Counter) -> None:
        await everything(one)
        done = await one.do("settle")
        assert done["outcome"] == "unbalanced"
        books = one.settlement
        assert (books["uploaded"], books["matched"], books["chip_details"]) == (SINGLES + RECORDS, SINGLES + RECORDS, 6)
        assert (books["differences"], books["chip_odd"], books["chip_missing"]) == ([], [], [])
        assert (books["end_code"], books["end_count"]) == ("202", SINGLES + RECORDS + CHIPS)
        assert books["end_count_agrees"] is True

    assert at_the_counter(scene, unbalance="both", card={"scripts": (SCRIPT,)}).clean()


def test_only_the_group_that_does_not_balance_is_uploaded() -> None:
    async def scene(one: Counter) -> None:
        await everything(one)
        assert (await one.do("settle"))["outcome"] == "unbalanced"
        books = one.settlement
        assert (books["uploaded"], books["matched"], books["differences"]) == (1, 1, [])
        assert (books["end_code"], books["end_count"]) == ("202", 1 + CHIPS)

    assert at_the_counter(scene, unbalance="foreign").clean()


def test_a_declined_advice_is_uploaded_and_named() -> None:
    async def scene(one: Counter) -> None:
        failed = await one.do("offline_sale", card=STRIPE, expiry="3012", amount="5.00")
        assert (await one.do("settle"))["outcome"] == "unbalanced"
        (found,) = one.settlement["differences"]
        assert (found["kind"], found["stan"], found["ours"]) == ("declined", failed["stan"], None)
        assert one.settlement["mismatched"] == [f"STAN {failed['stan']}: declined here with 05"]

    at_the_counter(scene, Rule(do="refuse", mti="0220", type60="30", code="05"))


def test_what_is_not_uploaded_is_missing_chips_too() -> None:
    async def scene(one: Counter) -> None:
        one.client.terminal.settled_groups = (True, True)
        stripe, chip = await one.stripe("sale", "5.00"), await one.chip("sale", "6.00")
        await one.do("totals")
        one.client.terminal.log.clear()
        await one.do("settle_end")
        assert one.settlement["missing"] == [f"STAN {stripe}: not uploaded", f"STAN {chip}: not uploaded"]
        assert one.settlement["chip_missing"] == [f"STAN {chip}: no chip detail"]

    at_the_counter(scene, unbalance="both")


@pytest.mark.parametrize(
    ("what", "finding"),
    [
        ("amount", "another amount"),
        ("card", "another card"),
        ("class", "another class"),
        ("stan", "not in our books"),
        ("code", "205 after totals that were balanced"),
        ("kind", "204 with field 62 of the other kind"),
        ("failed", "refused by the card and approved here"),
        ("tag", "tag 9F27 says 80"),
        ("stripe", "its request had no field 55"),
        ("reversed", "a TC of one that is reversed"),
    ],
)
def test_a_chip_detail_that_does_not_fit_is_named(what: str, finding: str) -> None:
    async def scene(one: Counter) -> None:
        terminal = one.client.terminal
        stan, stripe = await one.chip("sale", "5.00"), await one.stripe("sale", "5.00")
        (sent,) = terminal.uploads()
        if what == "reversed":
            await one.good("reverse", stan=stan)
        assert (await one.do("totals"))["outcome"] == "balanced"
        asked = terminal.log[stan].sent.message
        changes: dict[str, dict[int, str | None]] = {
            "amount": {4: "000000000501", 62: ChipDetail("00", "00", 501).format()},
            "card": {2: STRIPE},
            "class": {62: ChipDetail("01", "00", 500).format()},
            "stan": {11: "004711"},
            "code": {60: f"00{terminal.batch:06d}20550"},
            "kind": {60: f"00{terminal.batch:06d}20450"},
            "failed": {60: f"00{terminal.batch:06d}20450", 62: ChipDetail("00", "11", 500, "1", "0").format()},
            "tag": {55: asked.get(55)},
            "stripe": {2: STRIPE, 11: f"{stripe:06d}"},
            "reversed": {},
        }
        result = await one.client.exchange(terminal.request("upload", sent.message.with_(changes[what])), 0.5)
        assert result["code"] == "00"
        (odd,) = one.settlement["chip_odd"]
        assert finding in odd
        assert any(finding in text for text in one.books["remarks"])

    at_the_counter(scene)


def test_a_detail_that_comes_again_counts_once_and_an_unreadable_one_gets_30() -> None:
    async def scene(one: Counter) -> None:
        await one.chip("sale", "5.00")
        assert (await one.do("totals"))["outcome"] == "balanced"
        (sent,) = one.client.terminal.uploads()
        bad = one.client.terminal.request("upload", sent.message.with_({62: "3631"}))
        for said, code in ((bad, "30"), (sent, "94"), (sent, "94")):
            assert (await one.client.exchange(said, 0.5))["code"] == code
        assert one.settlement["chip_details"] == 0

    async def twice(one: Counter) -> None:
        await one.chip("sale", "5.00")
        assert (await one.do("totals"))["outcome"] == "balanced"
        (sent,) = one.client.terminal.uploads()
        for _ in range(2):
            assert (await one.client.exchange(sent, 0.5))["code"] == "00"
        assert one.settlement["chip_details"] == 1

    at_the_counter(scene)
    assert at_the_counter(twice).clean()


def test_an_advice_of_a_closed_batch_comes_late() -> None:
    async def scene(one: Counter) -> None:
        late = one.client.terminal
        assert (await one.do("settle"))["outcome"] == "balanced"
        late.batch = 8
        stan = await one.stripe("offline_sale", "5.00")
        assert "is not the current one" in one.books["remarks"][-1]
        assert one.books["batches"][0]["transactions"][0]["stan"] == stan
        assert (await one.do("sale", card=STRIPE, expiry="3012", amount="5.00"))["code"] == "77"

    async def refused(one: Counter) -> None:
        assert (await one.do("settle"))["outcome"] == "balanced"
        one.client.terminal.batch = 8
        assert (await one.do("offline_sale", card=STRIPE, expiry="3012", amount="5.00"))["code"] == "77"

    at_the_counter(scene)
    at_the_counter(refused, late_advice="77")


def test_field_61_of_reversals_by_the_table() -> None:
    async def scene(one: Counter) -> None:
        terminal = one.client.terminal
        hold = await one.stripe("preauth", "5.00")
        done = await one.good("complete", of_stan=hold)
        wrong = (None, Field61(8, hold).format(), Field61(8, done).format(), Field61(8, done, "1122").format())
        for text in wrong:
            said = terminal.reverse(done).message.with_({61: text})
            await one.client.exchange(terminal.request("odd", said), 0.5)
        assert len([text for text in one.books["remarks"] if "field 61" in text]) == len(wrong)
        bad_mac = terminal.reverse(done, "A0").message.with_({61: Field61(8, done, one.entry_day(done)).format()})
        await one.client.exchange(terminal.request("odd", bad_mac), 0.5)
        assert len(one.books["remarks"]) == len(wrong)

    at_the_counter(scene)


def test_a_host_that_closes_at_the_totals_takes_chip_details_before_the_end() -> None:
    async def scene(one: Counter) -> None:
        await one.chip("sale", "5.00")
        assert (await one.do("settle"))["outcome"] == "balanced"
        assert (one.settlement["chip_details"], one.settlement["end_count"]) == (1, 1)

    assert at_the_counter(scene, close_at="totals").clean()
