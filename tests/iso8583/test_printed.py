"""Fields 44, 54 and 63 of answers as people read them (reference 1.2, 1.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.iso8583.printed import Balance, balances, institutions, remarks

PAN = "4111111111111111"


def gbk(*parts: str) -> str:
    return b"".join(part.encode("gbk").ljust(20) for part in parts).decode("latin-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01020000   48020000   ", ("01020000", "48020000")),
        ("01020000", ("01020000", "")),
        ("", ("", "")),
        (None, ("", "")),
        ("01020000   48020000   xyz", ("01020000", "48020000")),
    ],
)
def test_institutions(text: str | None, expected: tuple[str, str]) -> None:
    assert institutions(text) == expected


def test_balances() -> None:
    assert balances("1002156C000000012345") == (Balance("available", "CNY", 12345),)
    two = balances("1001156D000000000100" + "1002840C000000000200")
    assert two == (Balance("ledger", "CNY", -100), Balance("available", "840", 200))
    assert balances("1002156X000000012345") == balances("") == balances(None) == balances("1002156C00") == ()


def test_remarks_are_gbk_and_may_be_cut_short() -> None:
    whole = gbk("发卡行备注", "银联备注", "收单行备注") + "终端备注".encode("gbk").decode("latin-1")
    assert remarks(whole) == {
        "issuer": "发卡行备注",
        "centre": "银联备注",
        "acquirer": "收单行备注",
        "terminal": "终端备注",
    }
    assert remarks(gbk("发卡行备注").rstrip()) == {"issuer": "发卡行备注"}
    assert remarks(gbk("", "银联备注")) == {"centre": "银联备注"}
    assert remarks(gbk("发卡行备注")[:3])["issuer"].startswith("发"), "cut in the middle of a character"
    assert remarks(None) == remarks("") == {}


def test_what_is_no_gbk_or_no_text_breaks_nothing() -> None:
    assert remarks("\xff\xfe\x00\x1b[31mred")["issuer"].endswith("[31mred")
    assert "\x1b" not in remarks("\x1b[2J")["issuer"]


def test_a_card_number_is_not_shown_even_across_two_parts() -> None:
    assert PAN not in "".join(remarks("x" * 15 + PAN).values())
    assert PAN[:12] not in "".join(remarks("x" * 15 + PAN).values())


@given(st.text(max_size=200))
def test_any_text_gives_something(text: str) -> None:
    institutions(text)
    balances(text)
    for said in remarks(text).values():
        assert said.isprintable()
