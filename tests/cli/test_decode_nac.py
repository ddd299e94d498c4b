"""`posd decode --profile nac`: every sample and generated message explained, masked, never an exception."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.cli.decode import run
from posd.cli.explain_nac import explain_nac

VECTORS = Path(__file__).parents[2] / "posd" / "vectors"
MESSAGES = {
    row["name"]: row
    for file in ("nac.json", "nac_matrix.json")
    for row in json.loads((VECTORS / file).read_text(encoding="utf-8"))["messages"]
    if row["wire"] == "zero"
}
PAN = "4761739001010119"


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_is_explained_and_shows_no_card(name: str) -> None:
    explanation = explain_nac(bytes.fromhex(MESSAGES[name]["hex"]))
    assert explanation.fault is None
    shown = " ".join(f"{line.value} {line.meaning}" for line in explanation.lines)
    assert PAN not in shown
    assert {line.label for line in explanation.lines} >= set(MESSAGES[name]["fields"])


@pytest.mark.parametrize(
    ("name", "label", "meaning"),
    [
        ("N1", "3", "logon"),
        ("N2", "3", "echo test"),
        ("N5", "63.1", "150.00"),
        ("N6", "39", "totals do not agree: transfer the batch (decline)"),
        ("N7", "3", "sale, or authorisation; more follow"),
        ("N7", "60.2", ""),
        ("N9", "3", "settlement, closing after an upload"),
        ("tip", "3", "void or adjustment of a sale"),
    ],
)
def test_what_it_means(name: str, label: str, meaning: str) -> None:
    found = {line.label: line.meaning for line in explain_nac(bytes.fromhex(MESSAGES[name]["hex"])).lines}
    assert found[label] == meaning


def test_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(MESSAGES["N3"]["hex"], as_json=True, header_bytes=6, profile="nac") == 0
    assert json.loads(capsys.readouterr().out)["error"] is None
    assert run(MESSAGES["N3"]["hex"][:-4], as_json=False, header_bytes=0, profile="nac") == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_explained_or_a_fault(data: bytes) -> None:
    explain_nac(data)
