"""`posd decode`: what it shows, what it never shows, and what its exit status says."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.cli.decode import INPUT_BYTES_MAX, as_json_text, as_text, decode_command, run
from posd.cli.explain import Explanation, explain
from posd.framing.length_prefix import with_length
from posd.framing.tpdu import Envelope, join
from posd.iso8583.message import Message
from posd.iso8583.tlv import build
from posd.iso8583.unionpay import UNIONPAY

ROWS = json.loads((Path(__file__).parents[2] / "posd" / "vectors" / "unionpay.json").read_text(encoding="utf-8"))
HEX = {row["name"]: row["hex"] for row in ROWS["messages"]} | {row["name"]: row["hex"] for row in ROWS["truncated"]}
ENVELOPE = Envelope(bytes.fromhex("6000030000"), b"", bytes.fromhex("603100310100"))
PAN = "6225880123456789"
SECRETS = (PAN, "30122010000012345678", "E97D930127EB3146", "41B1F3D154C3079A", "3635454343313830", "65ECC180")
SALE = UNIONPAY.decode(bytes.fromhex(HEX["B3"])[13:])


def shown(explanation: Explanation) -> dict[str, tuple[str, str]]:
    return {line.label: (line.value, line.meaning) for line in explanation.lines}


def typed(monkeypatch: pytest.MonkeyPatch, given: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))


@pytest.mark.parametrize("name", [name for name in HEX if name not in {"A8", "A9"}])
def test_every_message_of_the_dialect_is_explained_without_fault_or_secret(name: str) -> None:
    explanation = explain(bytes.fromhex(HEX[name]))
    assert explanation.fault is None
    text = as_text(explanation) + as_json_text(explanation)
    assert not [secret for secret in SECRETS if secret in text]


def test_what_stands_around_the_message_is_found_out() -> None:
    body = UNIONPAY.encode(SALE)
    frame = join(ENVELOPE, body)
    lri = join(Envelope(ENVELOPE.tpdu, b"LRI" + bytes(30), ENVELOPE.header), body)
    for data, header_bytes, labels in (
        (body, 6, ["MTI", "bitmap", "3"]),
        (with_length(body), 6, ["length", "MTI", "bitmap"]),
        (frame, 6, ["TPDU", "header", "MTI"]),
        (with_length(frame), 6, ["length", "TPDU", "header"]),
        (with_length(lri), 6, ["length", "TPDU", "LRI"]),
        (ENVELOPE.tpdu + body, 0, ["TPDU", "MTI", "bitmap"]),
        (with_length(ENVELOPE.tpdu + b"\x01\x00" + body), 2, ["length", "TPDU", "header"]),
    ):
        explanation = explain(data, header_bytes)
        assert explanation.fault is None
        assert [line.label for line in explanation.lines][:3] == labels


def test_codes_and_sub_fields_have_their_meaning() -> None:
    answer = shown(explain(bytes.fromhex(HEX["B4"])))
    assert answer["MTI"] == ("0210", "financial answer")
    assert answer["2"][0] == "622588******6789"
    assert answer["4"] == ("000000012345", "123.45")
    assert answer["39"] == ("00", "approved (class approve)")
    assert answer["60.1"] == ("22", "sale")
    assert answer["63.1"] == ("CUP", "domestic")
    assert answer["64"][0] == "***(16)"
    reversal = shown(explain(bytes.fromhex(HEX["B5"])))
    assert reversal["39"] == ("98", "no answer in time")
    end = shown(explain(bytes.fromhex(HEX["B14"])))
    assert end["60.3"] == ("207", "batch upload end, totals had balanced")
    assert end["48.1"][0] == "0"


def test_totals_and_upload_records_are_taken_apart() -> None:
    totals = shown(explain(bytes.fromhex(HEX["B10"])))
    assert totals["48.1"] == ("debit 173.45 in 2, credit 123.45 in 1", "unbalanced")
    assert totals["48.2"][1] == "balanced"
    upload = shown(explain(bytes.fromhex(HEX["B11"])))
    assert upload["48.3"] == ("622588******6789", "50.00, domestic")


def test_ic_data_and_remarks_are_taken_apart() -> None:
    ic = build([("5A", bytes.fromhex(PAN)), ("9F26", bytes(8)), ("9F36", b"\x00\x07")]).hex().upper()
    remark = "CUP" + "交易成功".encode("gbk").ljust(20).decode("latin-1") + "4761739001010119\x1b[2J"
    answer = Message("0210", {39: "Z9", 55: ic, 61: "0000080001241122", 63: remark})
    lines = shown(explain(UNIONPAY.encode(answer)))
    assert lines["39"][1] == "unknown code (class unconfirmed)"
    assert lines["55.9F36"][0] == "0007"
    assert lines["55.5A"][0] == "622588******6789"
    assert lines["61.3"][0] == "1122"
    assert lines["63.2"][0] == "交易成功"
    assert "476173******0119" in lines["63.3"][0]
    assert not any("\x1b" in value for value, _ in lines.values())


def test_a_card_number_across_two_remarks_stays_hidden() -> None:
    remark = "CUP" + "x" * 14 + "4761739001010119"
    text = as_text(explain(UNIONPAY.encode(Message("0210", {63: remark}))))
    assert "476173900" not in text
    assert "1010119" not in text


@pytest.mark.parametrize(
    ("hexadecimal", "field", "offset"),
    [
        (HEX["B3"][:-2], "64", 110),
        (HEX["B3"] + "00", "length", 0),
        (HEX["A9"], "57", 51),
        ("0200" + "2000000000000000" + "00000A", "3", 10),
        ("6000030000603100310100" + "0200" + "2000000000000000" + "00000A", "3", 21),
        ("6000030000", "header", 5),
        ("6000", "TPDU", 0),
        ("0200" + "6020040000000000" + "16" + PAN[:10], "2", 11),
        ("02", "MTI", 0),
    ],
)
def test_faults_name_field_and_offset_in_the_input(hexadecimal: str, field: str, offset: int) -> None:
    explanation = explain(bytes.fromhex(hexadecimal))
    assert explanation.fault is not None
    assert (explanation.fault.field, explanation.fault.offset) == (field, offset)


def test_a_fault_in_a_sub_field_names_it_and_keeps_the_rest() -> None:
    body = UNIONPAY.encode(Message("0500", {11: "000130", 48: "0" * 60, 60: "00000008201"}))
    explanation = explain(body)
    assert explanation.fault is not None
    assert (explanation.fault.field, explanation.fault.offset) == ("48", 15)
    assert shown(explanation)["60.3"][0] == "201"
    ic = explain(UNIONPAY.encode(Message("0200", {3: "000000", 55: "820100" + "5A09622588"})))
    assert ic.fault is not None
    assert (ic.fault.field, ic.fault.offset) == ("55.5A", 10 + 3 + 2 + 4)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 2, 6]))
def test_any_bytes_are_explained(data: bytes, header_bytes: int) -> None:
    explanation = explain(data, header_bytes)
    assert all(character.isprintable() or character == "\n" for character in as_text(explanation))
    json.loads(as_json_text(explanation))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_sale_never_shows_the_card(data: st.DataObject) -> None:
    whole = bytearray.fromhex(HEX["B3"])
    whole[data.draw(st.integers(0, 30))] = data.draw(st.integers(0, 255))
    explanation = explain(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert PAN not in as_text(explanation) + as_json_text(explanation)


def test_standard_input_takes_hex_as_people_paste_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = HEX["B16"]
    dump = "\n".join(" ".join(re.findall("..", line)) for line in re.findall(".{1,32}", plain.lower()))
    outputs = []
    for given_bytes in (
        plain.encode(),
        dump.encode(),
        ":".join(re.findall("..", plain)).encode(),
        bytes.fromhex(plain),
    ):
        typed(monkeypatch, given_bytes)
        assert decode_command(None, False, 6) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1
    assert "echo test" in outputs[0]


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(HEX["B16"], False, 6) == 0
    out = capsys.readouterr().out.splitlines()
    assert {
        line.index(name) for line in out for name in ("terminal id", "merchant id", "network code") if name in line
    } == {len("bitmap") + 2}


def test_json_has_the_same_lines_and_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(HEX["B16"], True, 6) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["error"] is None
    assert {"label": "60.3", "name": "network code", "value": "301", "meaning": "echo test"} in document["lines"]
    assert run(HEX["B16"][:-2], True, 6) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["field"] == "60"


def test_a_malformed_message_shows_what_came_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode_command(HEX["B3"][:80], False, 6) == 1
    captured = capsys.readouterr()
    assert "000124" in captured.out
    assert captured.err.startswith("posd decode: malformed message: ")
    assert "field 35" in captured.err
    assert PAN[:10] not in captured.out + captured.err


@pytest.mark.parametrize(
    ("given_text", "says"),
    [
        ("", "no message"),
        (" \n", "no message"),
        ("020", "odd number of hex digits: 3"),
        ("0x0200", "character 2 "),
        (f"card {PAN}", "not hex"),
        ("你好", "not hex"),
        ("0" * (INPUT_BYTES_MAX - 1), "odd number"),
        ("0" * INPUT_BYTES_MAX, "too long"),
        ("0" * (INPUT_BYTES_MAX + 1), "too long"),
    ],
)
def test_misuse_is_one_line_and_status_2(
    given_text: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, given_text.encode())
    assert decode_command(None, False, 6) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert PAN not in captured.err


def test_test_data_is_hex_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode_command("\udcff\x00", False, 6) == 2
    assert decode_command(HEX["B16"], False, 5) == 2
    assert "one of 0, 2, 6" in capsys.readouterr().err


def test_a_screen_without_chinese_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", screen)
    remark = "CUP" + "交易成功".encode("gbk").decode("latin-1")
    assert run(UNIONPAY.encode(Message("0210", {63: remark})).hex(), False, 6) == 0
    screen.flush()
    assert b"\\u4ea4" in screen.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_key_block_shows_its_check_values_and_no_key() -> None:
    lines = shown(explain(bytes.fromhex(HEX["B2"])))
    assert [lines[f"62.{n}"][0] for n in (2, 4, 6)] == ["9BE3BD43", "970022E0", "76CDB553"]
    assert [lines[f"62.{n}"][0] for n in (1, 3, 5)] == ["***(32)"] * 3
