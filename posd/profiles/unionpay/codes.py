"""The codes of the UnionPay dialect as data: field 39 with what it means for money (D9), 60.1, 60.3, reasons.

Field 39 holds every code of reference 1.13. The glosses are ours; classes A to E are the older annex's. A
reversal reads some codes differently (D11): that is the reversal's affair, not this table's.
"""

from collections.abc import Mapping
from types import MappingProxyType

from posd.core.answers import AnswerClass
from posd.profiles.codes import Code as Code

_APPROVE = AnswerClass.APPROVE
_PARTIAL = AnswerClass.APPROVE_PARTIAL
_DECLINE = AnswerClass.DECLINE
_SIGN_IN = AnswerClass.ACT_AND_RETRY
_UNSURE = AnswerClass.UNCONFIRMED


_ROWS = (
    Code("00", "approved", "成功", "A", _APPROVE),
    Code("10", "partial amount approved", "部分批准", "A", _PARTIAL),
    Code("11", "approved, VIP", "成功，贵宾客户", "A", _APPROVE),
    Code("A2", "approved, confirm with issuer", "有缺陷的成功", "A", _APPROVE, flag=True),
    Code("A4", "approved, confirm with issuer", "有缺陷的成功", "A", _APPROVE, flag=True),
    Code("A5", "approved, confirm with issuer", "有缺陷的成功", "A", _APPROVE, flag=True),
    Code("A6", "approved, confirm with issuer", "有缺陷的成功", "A", _APPROVE, flag=True),
    Code("01", "refer to issuer", "查发卡方", "C", _DECLINE),
    Code("02", "refer to issuer, special condition", "查发卡方（特殊情况）", "C", _DECLINE),
    Code("03", "merchant not valid", "无效商户", "C", _DECLINE, alarm=True),
    Code("04", "hold card", "没收卡", "D", _DECLINE),
    Code("05", "not honoured, or cardholder not authenticated", "不予承兑或身份认证失败", "C", _DECLINE),
    Code("06", "error", "出错", "E", _DECLINE),
    Code("07", "hold card, special condition", "没收卡（特殊情况）", "D", _DECLINE),
    Code("09", "request in progress", "处理中", "B", _UNSURE),
    Code("12", "invalid or unmatched transaction", "无效交易", "C", _DECLINE),
    Code("13", "invalid amount", "无效金额", "B", _DECLINE),
    Code("14", "invalid card number", "无效卡号", "B", _DECLINE),
    Code("15", "issuer unknown", "无此发卡方", "C", _DECLINE),
    Code("19", "enter the transaction again", "重新交易", "C", _DECLINE),
    Code("20", "invalid response", "无效响应", "C", _DECLINE),
    Code("21", "no action taken, or card not initialised", "不作处理或卡未初始化", "C", _DECLINE),
    Code("22", "suspected malfunction: terminal and centre differ; sign in", "怀疑操作有误，请签到", "C", _DECLINE),
    Code("23", "transaction fee not acceptable", "不可接受的交易费", "C", _DECLINE),
    Code("25", "original transaction not found", "无原交易", "C", _DECLINE),
    Code("30", "format error", "报文格式错误", "C", _DECLINE, alarm=True),
    Code("31", "issuer not supported", "发卡方不支持", "C", _DECLINE),
    Code("33", "expired card, hold it", "过期卡，没收", "D", _DECLINE),
    Code("34", "suspected fraud, hold card", "有作弊嫌疑，没收卡", "D", _DECLINE),
    Code("35", "contact acquirer, hold card", "联系受理方，没收卡", "D", _DECLINE),
    Code("36", "restricted card, hold it", "受限制的卡，没收", "D", _DECLINE),
    Code("37", "call acquirer security, hold card", "呼叫受理方安全部门，没收卡", "D", _DECLINE),
    Code("38", "PIN tries exceeded, hold card", "密码错误次数超限，没收卡", "D", _DECLINE),
    Code("39", "no credit account", "无此信用卡账户", "C", _DECLINE),
    Code("40", "function not supported", "功能不支持", "C", _DECLINE),
    Code("41", "lost card, hold it", "挂失卡，没收", "D", _DECLINE),
    Code("42", "no such account", "无此账户", "B", _DECLINE),
    Code("43", "stolen card, hold it", "被窃卡，没收", "D", _DECLINE),
    Code("44", "no investment account", "无此投资账户", "C", _DECLINE),
    Code("45", "fallback not allowed, use the chip", "不允许降级交易，请使用芯片", "C", _DECLINE),
    Code("51", "insufficient funds", "余额不足", "C", _DECLINE),
    Code("52", "no cheque account", "无此支票账户", "C", _DECLINE),
    Code("53", "no savings account", "无此储蓄账户", "C", _DECLINE),
    Code("54", "expired card", "过期卡", "C", _DECLINE),
    Code("55", "wrong PIN, ask again", "密码错误，请重试", "C", _DECLINE),
    Code("56", "no card record", "无此卡记录", "C", _DECLINE),
    Code("57", "not permitted to the card", "不允许持卡人进行的交易", "C", _DECLINE),
    Code("58", "not permitted to the terminal", "不允许终端进行的交易", "C", _DECLINE),
    Code("59", "suspected fraud", "有作弊嫌疑", "C", _DECLINE),
    Code("60", "contact acquirer security", "联系受理方安全部门", "C", _DECLINE),
    Code("61", "over amount limit", "超出金额限制", "C", _DECLINE),
    Code("62", "restricted card", "受限制的卡", "C", _DECLINE),
    Code("63", "security violation", "违反安全规定", "C", _DECLINE),
    Code("64", "amount differs from the original", "与原金额不符", "C", _DECLINE),
    Code("65", "over count limit", "超出次数限制", "C", _DECLINE),
    Code("66", "call acquirer security", "呼叫受理方安全部门", "C", _DECLINE),
    Code("67", "hold card", "没收卡", "C", _DECLINE),
    Code("68", "answer too late", "超时", "C", _UNSURE),
    Code("75", "PIN tries exceeded", "密码错误次数超限", "C", _DECLINE),
    Code("77", "batch number differs from the centre: sign in", "批次不一致，请签到", "D", _SIGN_IN),
    Code("78", "centre wants to download data to the terminal", "需向终端下载数据", "", _DECLINE),
    Code("79", "offline data do not balance: upload again", "脱机数据对账不平，重新上送", "C", _DECLINE),
    Code("89", "security processing failed", "安全处理失败", "", _DECLINE),
    Code("90", "day cut-over in progress", "日切处理中", "C", _DECLINE),
    Code("91", "issuer not available", "发卡方不能操作", "C", _DECLINE),
    Code("92", "line or institution not available", "线路或机构不可达", "C", _DECLINE),
    Code("93", "violation", "违规，不能完成", "C", _DECLINE),
    Code("94", "duplicate transaction", "重复交易", "C", _DECLINE),
    Code("95", "reconciliation error", "调节控制错", "C", _DECLINE),
    Code("96", "centre malfunction", "系统异常", "C", _DECLINE),
    Code("97", "terminal not registered", "终端未登记", "D", _DECLINE, alarm=True),
    Code("98", "no answer from issuer", "收不到发卡方应答", "E", _UNSURE),
    Code("99", "PIN format error: sign in", "密码格式错，请签到", "B", _SIGN_IN),
    Code("A0", "MAC check failed: sign in", "MAC 校验错，请签到", "B", _SIGN_IN),
    Code("A1", "currency mismatch", "货币不一致", "", _DECLINE),
    Code("A3", "account invalid", "账户无效", "", _DECLINE),
    Code("A7", "centre security error", "中心安全处理错误", "", _DECLINE),
)

CODES: Mapping[str, Code] = MappingProxyType({row.code: row for row in _ROWS})
"""Every known code."""


def classify(code: str) -> AnswerClass:
    """The class of a code; a code that the table does not know is unconfirmed (D9)."""
    row = CODES.get(code)
    return AnswerClass.UNCONFIRMED if row is None else row.answer_class


TRANSACTION_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "00": "management",
        "01": "balance inquiry",
        "10": "pre-authorisation",
        "11": "pre-authorisation void",
        "20": "completion (request)",
        "21": "completion void",
        "22": "sale",
        "23": "sale void",
        "24": "completion (notice)",
        "25": "refund",
        "27": "IC offline refund",
        "30": "offline settlement",
        "32": "settlement adjust",
        "34": "tip adjust",
        "36": "IC offline sale",
        "45": "designated load",
        "46": "cash load",
        "47": "non-designated load",
        "51": "cash load void",
    }
)
"""Field 60.1 (reference 1.8)."""

NETWORK_CODES: Mapping[str, str] = MappingProxyType(
    {
        "000": "financial, default",
        "001": "sign-in, single-length keys",
        "003": "sign-in, double-length keys",
        "004": "sign-in, double-length keys and track key",
        "006": "sign-in, national (SM4) keys",
        "002": "sign-off",
        "101": "initialisation",
        "201": "settlement, or batch upload",
        "202": "batch upload end, totals had not balanced",
        "207": "batch upload end, totals had balanced",
        "203": "IC approved details, balanced",
        "205": "IC approved details, unbalanced",
        "204": "IC failed details, balanced",
        "206": "IC failed details, unbalanced",
        "301": "echo test",
        "360": "parameter download",
        "362": "status upload",
        "370": "CA key download",
        "371": "CA key download end",
        "372": "CA key query",
        "373": "national-algorithm CA keys",
        "380": "IC parameter download",
        "381": "IC parameter download end",
        "382": "IC parameter query",
        "390": "blacklist download",
        "391": "blacklist download end",
        "394": "contactless parameter download",
        "395": "contactless parameter download end",
        "396": "QPS table download",
        "397": "QPS table download",
        "398": "QPS table download",
        "399": "QPS table download",
        "401": "cashier points sign-in",
        "800": "electronic receipt upload",
        "951": "IC script result notice",
    }
)
"""Field 60.3 (reference 1.3)."""

REVERSAL_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "98": "no answer in time",
        "A0": "MAC of the answer wrong",
        "06": "answer not readable, or another reason",
        "96": "approved, but the terminal failed",
    }
)
"""Field 39 of a 0400 (reference 1.10)."""
