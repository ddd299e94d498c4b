"""The steps by name: --help lists each, every row of the matrix has one, and a bad one is an outcome, not a crash."""

import pytest

from simulators.host.kinds import MATRIX, Kind
from simulators.terminal.__main__ import main
from simulators.terminal.steps import OTHERS, STEPS
from tests.simulators.counter import CHIP, Counter, at_the_counter

STEP_OF = {
    Kind.SALE_VOID: "void",
    Kind.COMPLETION: "complete",
    Kind.COMPLETION_VOID: "complete_void",
    Kind.COMPLETION_NOTICE: "complete_notice",
}


def test_help_names_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert lines >= STEPS.keys() | {name for name, _, _ in OTHERS}


def test_every_row_has_a_step() -> None:
    assert STEPS.keys() >= {STEP_OF.get(kind, kind.value) for kind in MATRIX}


@pytest.mark.parametrize(
    "step",
    [
        {"do": "preauth", "amount": "1.00"},
        {"do": "complete", "of_stan": 4711},
        {"do": "complete", "of_stan": "x"},
        {"do": "tip", "of_stan": 4711, "amount": "1.00"},
        {"do": "ec_sale", "card": CHIP, "expiry": "3012", "amount": "1.001"},
        {"do": "script_result", "of_stan": 4711},
        {"do": "chip_refusal", "of_stan": 4711},
        {"do": "issuer_unproven", "of_stan": 4711},
        {"do": "status", "hex": "zz"},
        {"do": "offline_sale", "card": CHIP, "expiry": "3012", "amount": "99999999999.99"},
    ],
)
def test_a_step_that_lacks_something_is_a_bad_step(step: dict[str, object]) -> None:
    async def scene(one: Counter) -> None:
        result = await one.client.do(step)
        assert result["outcome"] == "bad_step"
        assert CHIP not in str(result)
        assert (await one.do("settle"))["outcome"] == "balanced"

    assert at_the_counter(scene).clean()
