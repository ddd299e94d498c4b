"""Every row of reference 1.8, terminal straight to the host over real sockets: money, totals, reversal, fields."""

import pytest

from simulators.host.faults import Rule
from tests.simulators.counter import CHIP, PURSE_MINOR, Counter, at_the_counter


def test_a_hold_takes_money_and_is_in_no_total() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.stripe("preauth", "100.00")
        assert (one.spent(), one.state(stan), one.totals()) == (10_000, "approved", (0, 0, 0, 0))
        await one.good("preauth_void", of_stan=stan)
        assert (one.spent(), one.state(stan), one.totals()) == (0, "voided", (0, 0, 0, 0))

    assert at_the_counter(scene).clean()


def test_a_completion_captures_up_to_115_percent() -> None:
    async def scene(one: Counter) -> None:
        hold = await one.stripe("preauth", "100.00")
        assert (await one.do("complete", of_stan=hold, amount="115.01"))["code"] == "61"
        assert one.state(hold) == "approved"
        done = await one.good("complete", of_stan=hold, amount="115.00")
        assert (one.spent(), one.state(hold), one.totals()) == (11_500, "completed", (11_500, 1, 0, 0))
        assert (await one.do("complete", of_stan=hold))["code"] == "12"
        assert (await one.do("preauth_void", of_stan=hold))["code"] == "12"
        await one.good("complete_void", of_stan=done)
        assert (one.spent(), one.state(done), one.state(hold)) == (10_000, "voided", "approved")
        assert one.totals() == (11_500, 1, 11_500, 1)
        await one.good("preauth_void", of_stan=hold)
        assert one.spent() == 0

    assert at_the_counter(scene).clean()


def test_a_completion_releases_what_it_does_not_capture() -> None:
    async def scene(one: Counter) -> None:
        hold = await one.stripe("preauth", "100.00")
        await one.good("complete", of_stan=hold, amount="60.00")
        assert one.spent() == 6_000

    assert at_the_counter(scene, completion_percent_max=100).clean()


def test_a_hold_of_an_earlier_batch_is_completed_by_notice() -> None:
    async def scene(one: Counter) -> None:
        hold = await one.stripe("preauth", "100.00")
        assert (await one.do("settle"))["outcome"] == "balanced"
        done = await one.good("complete_notice", of_stan=hold, of_batch=8, amount="90.00")
        assert (one.spent(), one.entry(done)["original_batch"]) == (9_000, 8)
        assert (await one.do("settle"))["outcome"] == "balanced"

    assert at_the_counter(scene).clean()


def test_offline_sale_adjust_and_tip_count_once_with_the_last_amount() -> None:
    async def scene(one: Counter) -> None:
        offline = await one.stripe("offline_sale", "50.00", approval="777777")
        assert one.totals() == (5_000, 1, 0, 0)
        adjusted = await one.good("adjust", of_stan=offline, amount="45.00")
        assert (one.state(offline), one.spent(), one.totals()) == ("adjusted", 4_500, (4_500, 1, 0, 0))
        await one.good("adjust", of_stan=offline, amount="44.00")
        assert (one.state(adjusted), one.spent()) == ("adjusted", 4_400)
        sale = await one.stripe("sale", "10.00")
        assert (await one.do("tip", of_stan=sale, amount="9.99"))["code"] == "13"
        assert one.client.terminal.log[sale].replaced
        assert one.totals() == (5_400, 2, 0, 0)

    async def tipped(one: Counter) -> None:
        sale = await one.stripe("sale", "10.00")
        await one.good("tip", of_stan=sale, amount="12.00")
        assert (one.totals(), one.spent()) == ((1_200, 1, 0, 0), 1_200)
        await one.good("tip", of_stan=sale, amount="11.00")
        assert (one.totals(), one.spent()) == ((1_100, 1, 0, 0), 1_100)
        void = await one.good("void", of_stan=sale)
        assert (one.totals(), one.spent()) == ((1_100, 1, 1_100, 1), 0)
        await one.good("reverse", stan=void)
        assert (one.totals(), one.spent()) == ((1_100, 1, 0, 0), 1_100)
        assert (await one.do("tip", of_stan=sale, amount="10.00"))["code"] == "00"
        assert (await one.do("settle"))["outcome"] == "balanced"

    assert at_the_counter(scene).clean()
    assert at_the_counter(tipped).clean()


def test_an_advice_is_booked_once_and_its_repeat_gets_94() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.stripe("offline_sale", "50.00")
        again = await one.do("repeat", stan=stan)
        assert (again["code"], again["outcome"]) == ("94", "already_known")
        assert (one.totals(), one.entry(stan)["times_asked"]) == ((5_000, 1, 0, 0), 2)

    async def same(one: Counter) -> None:
        stan = await one.stripe("offline_sale", "50.00")
        assert (await one.do("repeat", stan=stan))["code"] == "00"
        assert one.totals() == (5_000, 1, 0, 0)

    assert at_the_counter(scene).clean()
    assert at_the_counter(same, repeat_advice="same").clean()


def test_electronic_cash_is_sold_loaded_and_taken_out() -> None:
    async def scene(one: Counter) -> None:
        await one.chip("ec_sale", "20.00")
        assert (one.spent(CHIP), one.card(CHIP).purse_minor) == (0, PURSE_MINOR - 2_000)
        await one.chip("ec_load", "30.00")
        await one.chip("ec_transfer_load", "5.00")
        assert (one.spent(CHIP), one.card(CHIP).purse_minor) == (3_500, PURSE_MINOR + 1_500)
        cash = await one.chip("ec_cash_load", "10.00")
        assert (one.spent(CHIP), one.totals()) == (3_500, (2_500, 2, 1_000, 1))
        await one.good("ec_cash_load_void", of_stan=cash)
        assert (one.card(CHIP).purse_minor, one.totals()) == (PURSE_MINOR + 1_500, (3_500, 3, 1_000, 1))
        await one.good("ec_refund", card=CHIP, expiry="3012", amount="20.00", of_stan=2, date="1122")
        assert (one.spent(CHIP), one.totals()) == (1_500, (3_500, 3, 3_000, 2))

    assert at_the_counter(scene).clean()


@pytest.mark.parametrize(
    ("step", "moved"),
    [
        ("preauth", 10_000),
        ("preauth_void", 0),
        ("complete", 9_000),
        ("complete_void", 10_000),
        ("ec_load", 10_000),
        ("ec_cash_load_void", 0),
    ],
)
def test_a_reversal_takes_back_once_what_was_booked(step: str, moved: int) -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("preauth", "100.00")
        before = (one.spent(CHIP), one.card(CHIP).purse_minor)
        match step:
            case "preauth":
                before, last = (0, PURSE_MINOR), stan
            case "preauth_void":
                last = await one.good("preauth_void", of_stan=stan)
            case "complete":
                last = await one.good("complete", of_stan=stan, amount="90.00")
            case "complete_void":
                done = await one.good("complete", of_stan=stan, amount="90.00")
                before = (9_000, PURSE_MINOR)
                last = await one.good("complete_void", of_stan=done)
            case _:
                await one.good("preauth_void", of_stan=stan)
                load = await one.chip("ec_load" if step == "ec_load" else "ec_cash_load", "100.00")
                before = (0, PURSE_MINOR) if step == "ec_load" else (0, PURSE_MINOR + 10_000)
                last = load if step == "ec_load" else await one.good("ec_cash_load_void", of_stan=load)
        assert one.spent(CHIP) == moved
        for _ in range(2):
            await one.good("reverse", stan=last)
        assert (one.state(last), one.entry(last)["times_reversed"]) == ("reversed", 2)
        assert (one.spent(CHIP), one.card(CHIP).purse_minor) == before
        if step == "complete_void":
            assert one.state(stan) == "completed"

    assert at_the_counter(scene).clean()


@pytest.mark.parametrize("step", ["offline_sale", "ec_sale", "refund"])
def test_what_is_never_reversed_gets_12(step: str) -> None:
    async def scene(one: Counter) -> None:
        if step == "refund":
            stan = await one.stripe("refund", "5.00", rrn="123456789012", date="1121")
        else:
            stan = await one.chip(step, "5.00")
        assert (await one.do("reverse", stan=stan))["code"] == "12"
        assert one.state(stan) == "approved"

    at_the_counter(scene)


def test_a_partial_approval_only_where_it_is_asked_for_or_the_issuer_does_it_anyway() -> None:
    async def scene(one: Counter) -> None:
        result = await one.do("sale", card=CHIP, expiry="3012", amount="20000.00", entry="051")
        assert (result["code"], result["amount"]) == ("10", 1_000_000)
        assert one.totals() == (1_000_000, 1, 0, 0)

    async def refused(one: Counter) -> None:
        assert (await one.do("sale", card=CHIP, expiry="3012", amount="20000.00", entry="051"))["code"] == "51"

    assert at_the_counter(scene, card={"partial": "always"}).clean()
    assert at_the_counter(refused, card={"partial": "asked"}).clean()


@pytest.mark.parametrize("code", ["11", "A2", "A4", "A5", "A6"])
def test_approvals_with_a_flag(code: str) -> None:
    async def scene(one: Counter) -> None:
        result = await one.do("sale", card=CHIP, expiry="3012", amount="5.00", entry="051")
        assert (result["outcome"], result["code"]) == ("approved", code)
        assert one.totals() == (500, 1, 0, 0)

    assert at_the_counter(scene, card={"approve_code": code}).clean()


def test_remarks_and_balances_in_answers() -> None:
    async def scene(one: Counter) -> None:
        stan = await one.chip("sale", "5.00")
        answer = one.acquirer.books.terminals["10000001"].batch.entries[stan].answer
        remark = (answer.get(63) or "").encode("latin-1").decode("gbk")
        assert remark.startswith("CUP交易成功")
        assert remark.endswith("请签字")
        assert answer.get(54) == "0002156C000000999500"

    remarks = {"issuer": "交易成功", "terminal": "请签字"}
    assert at_the_counter(scene, card={"show_balance": True}, remarks=remarks).clean()


def test_faults_by_type_code() -> None:
    async def scene(one: Counter) -> None:
        declined = await one.do("offline_sale", card=CHIP, expiry="3012", amount="5.00")
        assert (declined["code"], declined["outcome"]) == ("05", "declined")
        first = await one.do("complete_notice", of_stan=await one.chip("preauth", "5.00"))
        assert (first["code"], one.state(int(first["stan"]))) == ("94", "approved")
        silent = await one.do("ec_sale", card=CHIP, expiry="3012", amount="5.00", timeout_s=0.1)
        assert silent["outcome"] == "no_answer"

    rules = (
        Rule(do="refuse", type60="30", code="05"),
        Rule(do="answer_code", type60="24", code="94"),
        Rule(do="lose_answer", type60="36"),
    )
    at_the_counter(scene, *rules)


def test_a_completion_void_is_not_reversed_once_its_hold_was_captured_again() -> None:
    async def scene(one: Counter) -> None:
        hold = await one.stripe("preauth", "100.00")
        first = await one.good("complete", of_stan=hold, amount="90.00")
        void = await one.good("complete_void", of_stan=first)
        await one.good("complete", of_stan=hold, amount="80.00")
        assert (await one.do("reverse", stan=void))["code"] == "12"
        assert (one.spent(), one.state(void), one.state(hold)) == (8_000, "approved", "completed")

    assert at_the_counter(scene).clean()
