"""The journal's text: every record and state survives it, and what was once written can be read for ever (D34)."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.core import payload
from posd.core import records as r
from posd.core.fold.apply import apply, opened
from posd.core.state import State
from posd.errors import StorageFailed
from tests.core.playbook import after_sales

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_FILES = (
    "v1.jsonl",
    "station.v1.jsonl",
    "keys.v1.jsonl",
    "limits.v1.jsonl",
    "sign_off.v1.jsonl",
    "refunds.v2.jsonl",
    "till.v3.jsonl",
    "terminal_close.v1.jsonl",
    "terminal_close.v2.jsonl",
    "advices.v3.jsonl",
    "chips.v5.jsonl",
    "management.v1.jsonl",
    "not_sent.v1.jsonl",
    "totals_not_sent.v1.jsonl",
    "restored.v1.jsonl",
    "station_moves.v1.jsonl",
    "station_moves.v2.jsonl",
    "station_archive.v1.jsonl",
    "station_settings.v1.jsonl",
    "retention.v1.jsonl",
    "batch_number.v1.jsonl",
    "people.v1.jsonl",
    "doubts.v1.jsonl",
)

FOLDED = (
    "v1",
    "refunds.v2",
    "till.v3",
    "terminal_close.v1",
    "terminal_close.v2",
    "advices.v3",
    "chips.v5",
    "not_sent.v1",
    "totals_not_sent.v1",
    "batch_number.v1",
    "doubts.v1",
    "management.v1",
    "restored.v1",
    "retention.v1",
    "people.v1",
)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


def folded(name: str) -> State:
    first, *later = rows(name)
    record = payload.load_record(first["kind"], first["version"], first["payload"])
    assert isinstance(record, r.LaneOpened)
    state = opened(record, first["at_ms"])
    for row in later:
        state = apply(state, payload.load_record(row["kind"], row["version"], row["payload"]), row["at_ms"])
    return state


@pytest.mark.parametrize("name", FOLDED)
def test_d34_a_golden_journal_folds_to_its_golden_state(name: str) -> None:
    """Never change the golden journals: a record whose shape changes gets a new version and an upcast."""
    assert payload.load_state((GOLDEN / f"{name}.state.json").read_text()) == folded(f"{name}.jsonl")


def test_d34_what_an_older_version_did_not_say_is_upcast() -> None:
    old = next(row for row in rows("v1.jsonl") if row["kind"] == "declined")
    assert old["version"] == 1
    declined = payload.load_record("declined", 1, old["payload"])
    assert isinstance(declined, r.Declined)
    assert declined.unmaced is False
    with pytest.raises(StorageFailed):
        payload.load_record("declined", 2, old["payload"].replace('"facts"', '"fact"'))


def test_d34_the_golden_journal_has_every_kind_of_record() -> None:
    kinds = {row["kind"] for name in GOLDEN_FILES for row in rows(name)}
    assert kinds == set(payload.NAMES)


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_a_payload_is_canonical(name: str) -> None:
    for row in rows(name):
        record = payload.load_record(row["kind"], row["version"], row["payload"])
        assert payload.record_name(record) == row["kind"]
        if row["version"] == payload.record_version(row["kind"]):
            assert payload.dump_record(record) == row["payload"]


def test_a_name_or_version_that_is_not_known_is_refused_not_guessed() -> None:
    with pytest.raises(StorageFailed, match="does not know"):
        payload.load_record("batch_burnt", 1, "{}")
    with pytest.raises(StorageFailed, match="does not know"):
        payload.load_record("signed_out", 99, '{"because":"x"}')


def test_a_shape_that_is_not_known_is_refused_without_saying_what_stood_there() -> None:
    with pytest.raises(StorageFailed) as refused:
        payload.load_record("approved", 1, '{"request_id":"x","facts":{"code":{"pan":"6228480000000017"}}}')
    assert "facts.code" in str(refused.value)
    assert "6228" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(StorageFailed):
        payload.load_record("approved", 1, "not json")


def test_an_older_version_is_upcast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(payload.VERSIONS, "signed_out", 3)
    monkeypatch.setitem(payload.UPCASTS, ("signed_out", 1), lambda old: {"reason": old["why"]})
    monkeypatch.setitem(payload.UPCASTS, ("signed_out", 2), lambda old: {"because": old["reason"]})
    assert payload.load_record("signed_out", 1, '{"why":"77"}') == r.SignedOut("77")
    assert payload.load_record("signed_out", 3, '{"because":"77"}') == r.SignedOut("77")


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"tid":1}', "[]"])
def test_a_snapshot_that_cannot_be_read_is_not_used(text: str) -> None:
    assert payload.load_state(text) is None


def test_a_snapshot_of_another_shape_is_not_used() -> None:
    state = json.loads(payload.dump_state(after_sales(1).state))
    del state["batch"]["identity"]
    assert payload.load_state(json.dumps(state)) is None


@given(text=st.text(max_size=60))
@settings(max_examples=60)
def test_any_text_of_a_host_survives(text: str) -> None:
    record = r.SignedOut(text.encode("utf-8", "replace").decode())
    assert payload.load_record("signed_out", 1, payload.dump_record(record)) == record


def test_every_record_is_named_once() -> None:
    assert len(payload.NAMES) == len({payload._name(cls) for cls in payload.NAMES.values()})
    assert set(get_args(r.Record)) <= set(payload.NAMES.values())
