"""The code table: complete against reference 1.13, and each class where money asks for it (D9)."""

import pytest

from posd.core.answers import AnswerClass
from posd.profiles.unionpay.codes import CODES, classify

REFERENCE_1_13 = (
    "00 10 11 A2 A4 A5 A6 01 02 03 04 07 34 35 36 37 41 43 67 05 06 09 12 13 14 15 31 19 20 21 23 22 25 30 33 54 38 75 "
    "39 42 44 52 53 56 40 45 51 55 57 58 59 60 63 66 61 65 62 64 68 77 78 79 89 90 91 92 93 94 95 96 97 98 99 "
    "A0 A1 A3 A7"
)
EXPECTED = {
    AnswerClass.APPROVE: {"00", "11", "A2", "A4", "A5", "A6"},
    AnswerClass.APPROVE_PARTIAL: {"10"},
    AnswerClass.ACT_AND_RETRY: {"77", "99", "A0"},
    AnswerClass.UNCONFIRMED: {"09", "68", "98"},
}


def test_every_code_of_the_reference_is_listed_once() -> None:
    assert set(CODES) == set(REFERENCE_1_13.split())


def test_each_code_has_its_class_and_all_others_are_declines() -> None:
    for code, row in CODES.items():
        wanted = [answer_class for answer_class, codes in EXPECTED.items() if code in codes]
        assert [row.answer_class] == (wanted or [AnswerClass.DECLINE]), code
        assert classify(code) is row.answer_class


@pytest.mark.parametrize("code", ["", "Z9", "0", "000", "a0", "１０", "16"])
def test_an_unknown_code_is_unconfirmed(code: str) -> None:
    assert classify(code) is AnswerClass.UNCONFIRMED


def test_flags_and_alarms() -> None:
    assert {code for code, row in CODES.items() if row.flag} == {"A2", "A4", "A5", "A6"}
    assert {code for code, row in CODES.items() if row.alarm} == {"03", "30", "97"}


def test_every_row_is_complete() -> None:
    for code, row in CODES.items():
        assert row.code == code
        assert row.meaning_en
        assert row.meaning_zh
        assert row.operator_class in {"A", "B", "C", "D", "E", ""}
