"""Field 39 of a NAC host as data: the shared codes (reference 1.13) and what is particular here (2.7).

No code asks for a sign-in: there are no working keys to be renewed. What the table does not know is unconfirmed (D9).
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from posd.core.answers import AnswerClass
from posd.profiles.codes import Code
from posd.profiles.unionpay.codes import CODES as SHARED

_APPROVE, _DECLINE, _UNSURE = AnswerClass.APPROVE, AnswerClass.DECLINE, AnswerClass.UNCONFIRMED

_PARTICULAR = (
    Code("08", "approved, with identification", "批准（需核对身份）", "", _APPROVE),
    Code("76", "wrong product codes", "产品代码错", "", _DECLINE),
    Code("77", "reconcile error: closed out of balance", "对账不平，批次已结", "", _DECLINE),
    Code("78", "trace number not found", "找不到流水号", "", _DECLINE),
    Code("80", "bad batch number", "批次号错", "", _DECLINE, alarm=True),
    Code("85", "batch not found", "找不到批次", "", _DECLINE, alarm=True),
    Code("88", "call help", "请致电收单行", "", _DECLINE, alarm=True),
    Code("89", "bad terminal id", "终端号错", "", _DECLINE, alarm=True),
    Code("95", "totals do not agree: transfer the batch", "总额不符，请上送批次", "", _DECLINE),
    Code("99", "PIN format error", "密码格式错", "", _DECLINE),
    # Said by terminals, in advices and certificates; from a host they confirm nothing.
    Code("Y1", "approved offline by the chip", "脱机批准", "", _UNSURE),
    Code("Y3", "approved offline, host not reached", "无法联机，脱机批准", "", _UNSURE),
    Code("Z1", "declined offline by the chip", "脱机拒绝", "", _UNSURE),
    Code("Z3", "declined offline, host not reached", "无法联机，脱机拒绝", "", _UNSURE),
)

UNIONPAYS_OWN = frozenset({"A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7"})
"""Codes of the other dialect only: here they confirm nothing."""


def _plain(code: Code) -> Code:
    """Without a sign-in to be retried after."""
    return replace(code, answer_class=_DECLINE) if code.answer_class is AnswerClass.ACT_AND_RETRY else code


CODES: Mapping[str, Code] = MappingProxyType(
    {code: _plain(row) for code, row in SHARED.items() if code not in UNIONPAYS_OWN}
    | {row.code: row for row in _PARTICULAR}
)
"""Every known code."""
