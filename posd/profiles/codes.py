"""What a response code of field 39 is, in any dialect."""

from collections.abc import Mapping
from dataclasses import dataclass

from posd.core.answers import AnswerClass


@dataclass(frozen=True, slots=True)
class Code:
    """One response code.

    `operator_class`: A success, B may retry, C no retry, D operator must act, E system failure, or empty.
    `alarm`: something of ours is wrong (merchant, format, registration). `flag`: an approval to be
    confirmed with the issuer.
    """

    code: str
    meaning_en: str
    meaning_zh: str
    operator_class: str
    answer_class: AnswerClass
    alarm: bool = False
    flag: bool = False


def meanings(codes: Mapping[str, Code]) -> Mapping[str, str]:
    """Response code -> its meaning."""
    return {code: row.meaning_en for code, row in codes.items()}


def flagged(codes: Mapping[str, Code]) -> frozenset[str]:
    """Codes of approvals that the issuer has to confirm."""
    return frozenset(code for code, row in codes.items() if row.flag)
