"""Rules: what they match, how they count, which one wins."""

import pytest
from pydantic import ValidationError

from posd.iso8583.message import Message
from simulators.host.faults import Faults, Rule

SALE = Message("0200", {4: "000000001234", 35: "6225880123456789=3012", 41: "10000001", 60: "22000008000500"})
END = Message("0320", {41: "10000001", 60: "00000008207"})


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"mti": "0200"}, True),
        ({"mti": "0400"}, False),
        ({"amount": "12.34"}, True),
        ({"amount": "*34"}, True),
        ({"amount": "*35"}, False),
        ({"amount": "12.3"}, False),
        ({"card": "6789"}, True),
        ({"card": "0000"}, False),
        ({"tid": "10000001"}, True),
        ({"tid": "10000002"}, False),
        ({"code60": "000"}, False),
    ],
)
def test_conditions(conditions: dict[str, str], fits: bool) -> None:
    sale = SALE.with_({60: "22000008500"})
    assert Rule.model_validate({"do": "lose_answer", **conditions}).matches(sale) is fits


def test_code60_tells_the_messages_of_one_mti_apart() -> None:
    assert Rule(do="lose_answer", mti="0320", code60="207").matches(END)
    assert not Rule(do="lose_answer", mti="0320", code60="202").matches(END)


@pytest.mark.parametrize(
    ("counting", "acts"),
    [
        ({"nth": 2}, [False, True, False, False]),
        ({"every": 2}, [False, True, False, True]),
        ({"times": 1}, [True, False, False, False]),
        ({"every": 2, "times": 1}, [False, True, False, False]),
        ({"probability": 0.0}, [False] * 4),
        ({"probability": 1.0}, [True] * 4),
    ],
)
def test_counting(counting: dict[str, float], acts: list[bool]) -> None:
    faults = Faults((Rule.model_validate({"do": "lose_answer", **counting}),))
    assert [faults.plan(SALE) is not None for _ in range(4)] == acts


def test_the_first_rule_with_uses_left_wins() -> None:
    faults = Faults((Rule(do="lose_answer", times=1), Rule(do="duplicate", times=1), Rule(do="garbage", mti="0400")))
    plans = [faults.plan(SALE) for _ in range(3)]
    assert [plan.do if plan else None for plan in plans] == ["lose_answer", "duplicate", None]


def test_chance_follows_the_seed() -> None:
    def plans(seed: int) -> list[bool]:
        faults = Faults((Rule(do="lose_answer", probability=0.5),), seed)
        return [faults.plan(SALE) is not None for _ in range(64)]

    assert plans(1) == plans(1) != plans(2)
    assert 16 < sum(plans(1)) < 48


@pytest.mark.parametrize("rule", [{"do": "refuse"}, {"do": "delay"}, {"do": "move_batch"}, {"do": "explode"}])
def test_incomplete_rules_are_refused(rule: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate(rule)
