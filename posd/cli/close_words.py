"""What `posd settle --show`, the slip and `posd check` say, in English and Chinese. Data, and a few lookups.

The English of events and suspects is the daemon's (daemon/shown/words.py); here is what they are in Chinese, by their
codes.
"""

from collections.abc import Mapping
from typing import Any

from posd.cli.lang import Lang
from posd.cli.reason_words import reason
from posd.cli.speech import DEEDS, OUTCOMES, PHASES, PROPOSAL_ENDS
from posd.daemon.shown import words
from posd.daemon.shown.views import View

LABELS: Mapping[str, tuple[str, str]] = {
    "head": ("terminal {tid}, batch {batch:06d}: {text}", "终端 {tid}，批次 {batch:06d}：{text}"),
    "group": ("GROUP", "卡组"),
    "side": ("SIDE", "借贷"),
    "ours": ("OURS", "本机"),
    "host": ("HOST", "主机"),
    "difference": ("DIFFERENCE", "差额"),
    "result": ("HOST SAYS", "主机结论"),
    "domestic": ("domestic", "内卡"),
    "foreign": ("foreign", "外卡"),
    "all": ("all cards", "全部"),
    "debit": ("debit", "借记"),
    "credit": ("credit", "贷记"),
    "balanced": ("agreed", "对账平"),
    "unbalanced": ("not agreed", "对账不平"),
    "unclear": ("does not say", "未说明"),
    "no_host": ("the host has not given its totals", "主机尚未给出总计"),
    "no_host_ever": ("this host gives no totals of its own", "该主机不提供总计"),
    "items": ("Uploaded: {uploaded} of {all}, set aside: {set_aside}", "已上送 {uploaded}/{all}，搁置 {set_aside}"),
    "suspects": ("First suspects:", "首先核对："),
    "no_suspects": (
        "No first suspect among our transactions: compare the items with the acquirer's list.",
        "本机交易中无明显可疑项：请与收单行逐笔核对。",
    ),
    "fits": ("the amount is the difference", "金额等于差额"),
    "carried": ("Carried over:", "结算后继续发送："),
    "at": ("AT", "时间"),
    "transaction": ("TRANSACTION", "交易"),
    "kind": ("KIND", "类型"),
    "amount": ("AMOUNT", "金额"),
    "card": ("CARD", "卡号"),
    "fate": ("UPLOAD", "上送"),
    "uploaded": ("uploaded", "已上送"),
    "set_aside": ("SET ASIDE", "搁置"),
    "sent": ("sent", "已发出"),
    "waiting": ("waiting", "待上送"),
    "why": ("WHY", "原因"),
    "reversal": ("SINCE THEN", "之后"),
    "row": ("ROW", "行"),
    "what": ("WHAT", "事项"),
    "sale": ("sale", "消费"),
    "void": ("void", "撤销"),
    "balance": ("balance", "查询"),
    "preauth": ("pre-authorisation", "预授权"),
    "preauth_void": ("pre-auth. void", "预授权撤销"),
    "completion": ("completion", "预授权完成"),
    "completion_void": ("completion void", "预授权完成撤销"),
    "void_notice": ("void by advice", "撤销通知"),
    "completion_notice": ("completion notice", "预授权完成通知"),
    "offline_sale": ("offline sale", "离线结算"),
    "adjust": ("adjustment", "结算调整"),
    "tip": ("tip", "小费调整"),
    "ec_sale": ("EC offline sale", "电子现金脱机消费"),
    "ec_refund": ("EC offline refund", "电子现金脱机退货"),
    "ec_load": ("EC load", "电子现金指定账户圈存"),
    "ec_cash_load": ("EC cash load", "电子现金现金充值"),
    "ec_transfer_load": ("EC transfer load", "电子现金非指定账户圈存"),
    "ec_cash_load_void": ("EC cash load void", "电子现金现金充值撤销"),
    "refund": ("refund", "退货"),
    "refund_void": ("refund void", "退货撤销"),
    "certificate": ("chip certificate", "TC 上送"),
    "script_result": ("script result", "脚本结果通知"),
    "scripts": ("Issuer scripts without a result from the terminal:", "终端未报告结果的发卡方脚本："),
    "attempt": (", attempt {attempt}", "，第 {attempt} 次"),
    "by": (", by {by}", "，操作人 {by}"),
    "day": ("Business day {date} ({begin} to {end})", "营业日 {date}（{begin} 至 {end}）"),
    "head_terminal": ("TERMINAL", "终端号"),
    "head_batch": ("BATCH", "批次号"),
    "due": ("DUE", "应结算"),
    "status": ("STATUS", "结果"),
    "settled": ("SETTLED", "结算时间"),
    "at_stake": ("AT STAKE", "待结金额"),
    "stake": ("{amount} ({count}), oldest {oldest}", "{amount}（{count} 笔），最早 {oldest}"),
    "late_by": ("{at}, {late} late", "{at}，迟 {late}"),
    "cause": ("{tid}, due {due}: {cause}", "{tid}，应于 {due}：{cause}"),
    "evidence": ("row {row}, {at}: {what}", "第 {row} 行，{at}：{what}"),
    "day_good": ("Nothing was forgotten.", "无漏结算。"),
    "title": ("SETTLEMENT", "结 算 单"),
    "merchant": ("Merchant", "商户号"),
    "terminal": ("Terminal", "终端号"),
    "batch": ("Batch", "批次号"),
    "closed_at": ("Closed", "结算时间"),
    "begun_at": ("Begun", "开始时间"),
    "total": ("Total", "合计"),
    "count": ("{count}", "{count} 笔"),
    "slip_items": ("Uploaded items", "上送明细"),
    "slip_set_aside": ("Set aside", "搁置笔数"),
    "slip_carried": ("Still owed", "未完冲正与上送"),
    "signature": ("Signature:", "签字："),
    "printed": ("Printed", "打印时间"),
}

EVENTS: Mapping[str, str] = {
    "settlement_wanted": "应结算：{cause}",
    "batch_number_set": "批次号改为 {number:06d}",
    "settlement_postponed": "应结算，推迟",
    "settlement_deferred": "应于 {due}，顺延：{gross} 低于下限 {minimum}",
    "settlement_held": "待批准：{gross} 超过上限 {maximum}",
    "settlement_approved": "已批准，金额 {gross}",
    "decision_proposed": "{deed}，金额 {amount}，待第二人复核",
    "proposal_ended": "复核结束：{how}",
    "settlement_begun": "开始结算：{cause}",
    "batch_skipped": "无交易，未结算",
    "advice_carried_over": "离线交易 {request_id} 未送达，计入本批次，结算后继续发送",
    "reversal_carried_over": "冲正 {request_id} 未获确认，结算后继续发送",
    "totals_asked": "向主机发送总计，流水号 {stan:06d}",
    "totals_unanswered": "对账无有效应答",
    "totals_not_sent": "线路未收，总计未发出，主机未被询问",
    "totals_answered": "主机对账结果：内卡{domestic}，外卡{foreign}；需上送 {items} 笔",
    "totals_judged": "主机对账结果：{domestic}；需上送 {items} 笔",
    "settlement_unconfirmed": "无法确认主机是否已结算",
    "settlement_decided": "人工认定：主机{decided}",
    "upload_sent": "上送 {count} 笔（此前 {cursor} 笔），流水号 {stan:06d}",
    "upload_acknowledged": "已上送 {cursor} 笔",
    "upload_unanswered": "上送未获确认",
    "upload_set_aside": "搁置 {request_ids} 笔，{aside}",
    "trailer_sent": "发送批结束，已上送 {uploaded} 笔，流水号 {stan:06d}",
    "trailer_unanswered": "批结束未获确认",
    "batch_closed": "{outcome}；下一批次 {next_number:06d}",
    "lane_restored": "posd 由备份 {backup} 恢复，此后的交易不明",
    "gap_resolved": "恢复缺口已核对了结",
    "terminal_closed": "终端自行结算批次 {terminal_batch:06d}，总计{agreed}",
    "terminal_items_compared": "终端上送批次 {terminal_batch:06d} 共 {stans} 笔，其中 {differing} 笔不一致",
    "terminal_upload_ended": "终端批次 {terminal_batch:06d} 上送结束：申报 {stated}，收到 {seen}，缺 {missing} 笔",
}

CAUSES: Mapping[str, str] = {
    "schedule": "到达结算时间",
    "operator": "人工",
    "terminal": "终端发起",
    "host_batch_changed": "主机批次号变更",
    "capacity": "批次将满",
}

SUSPECTS: Mapping[str, str] = {
    "declined_without_mac": "拒绝应答无 MAC，主机可能已批准",
    "conflict": "主机否认其已批准的交易",
    "carried_over": "冲正在对账之后才获确认",
    "reversal_owed": "冲正尚未获确认",
    "flagged": "冲正应答也可能表示主机未见该交易",
    "in_doubt": "结果不明且未冲正",
    "advice_doubtful": "离线交易被主机拒绝，但主机可能已入账",
    "advice_refused": "离线交易被主机拒绝",
    "advice_owed": "离线交易未获主机确认",
    "resolved_by_a_person": "冲正由人工了结",
    "set_aside": "上送时被搁置：主机拒绝，或报文无法生成",
}

REVERSALS: Mapping[str, str] = {
    "owed": "待发",
    "stuck": "卡住，仍会发送",
    "conflict": "与主机冲突，须人工处理",
    "acknowledged": "已获主机确认",
    "resolved": "已人工了结",
}


ADVICES: Mapping[str, str] = {
    "owed": "待送",
    "stuck": "卡住，仍会发送",
    "refused": "被主机拒绝，须人工处理",
    "doubtful": "被主机拒绝，但主机可能已入账，须人工处理",
    "done": "主机已收到",
    "cancelled": "终端已取消",
    "resolved": "已人工了结",
}

BESIDE: Mapping[str, str] = {
    "daemon_started": "posd {version} 启动",
    "daemon_stopped": "posd 停止",
    "line_changed": "主机线路{line}",
    "sign_in_failed": "签到失败",
    "last_row": "posd 最后写入的一行（{what}）",
}

DAYS: Mapping[str, str] = {
    "done": "已结算",
    "not_due": "未到时间",
    "empty": "无交易",
    "deferred": "低于下限，已顺延",
    "under_way": "结算中",
    "forgotten": "漏结算",
    "unknown": "无法确认是否已结算",
}

DAY_CAUSES: Mapping[str, str] = {
    "held": "超过上限，待专人批准",
    "restored": "恢复了较旧的流水，待专人核对了结",
    "daemon_down": "posd 未运行",
    "clock": "本机与主机时钟不一致",
    "host_refused": "主机拒绝",
    "line": "主机线路断开",
    "host_unconfirmed": "主机未说明是否已结算",
    "host_silent": "主机无应答",
    "sign_in": "签到失败",
    "postponed": "已推迟",
    "configuration": "posd 在运行且无阻碍：当时配置的结算时间不同",
}


def day(lang: Lang, moment: View) -> str:
    """What became of one due moment, or of a day."""
    outcome = moment.get("outcome")
    if lang is Lang.EN:
        return str(moment["text"])
    return OUTCOMES[outcome] if outcome and moment["status"] == "done" else DAYS[moment["status"]]


def cause(lang: Lang, shown: View) -> str:
    """Why a settlement was late or is not done."""
    return DAY_CAUSES[shown["code"]] if lang is Lang.ZH else str(shown["text"])


def label(lang: Lang, name: str, **facts: Any) -> str:
    """A word or a line of that name."""
    return LABELS[name][lang is Lang.ZH].format(**facts)


def known(lang: Lang, name: str) -> str:
    """The word for a code, or the code itself."""
    return LABELS[name][lang is Lang.ZH] if name in LABELS else name


def conclusion(lang: Lang, report: View) -> str:
    """How a settlement ended, or where it stands: each outcome has its own words."""
    if lang is Lang.EN:
        return str(report["text"])
    return OUTCOMES[report["outcome"]] if report["outcome"] else PHASES[report["phase"]]


def suspicion(lang: Lang, suspect: View) -> str:
    """Why somebody should look at this transaction first."""
    why = SUSPECTS[suspect["why"]] if lang is Lang.ZH else str(suspect["why_text"])
    return f"{why} ({label(lang, 'fits')})" if suspect["fits"] else why


def reversal(lang: Lang, shown: View) -> str:
    """What became of a reversal."""
    return REVERSALS[shown["reversal"]] if lang is Lang.ZH else str(shown["reversal_text"])


def advice(lang: Lang, shown: View) -> str:
    """What became of an advice."""
    return ADVICES[shown["advice"]] if lang is Lang.ZH else str(shown["advice_text"])


def event(lang: Lang, shown: View) -> str:
    """One step of a settlement."""
    if lang is Lang.EN:
        return str(shown["text"])
    facts = dict(shown["facts"])
    for name, said in (("cause", CAUSES), ("outcome", OUTCOMES), ("deed", DEEDS), ("how", PROPOSAL_ENDS)):
        if name in facts:
            facts[name] = said[facts[name]]
    for name in ("domestic", "foreign"):
        if name in facts:
            facts[name] = known(lang, facts[name])
    facts["aside"] = f"主机拒绝（{facts['code']}）" if facts.get("code") else "报文无法生成"
    facts["line"] = "已连接" if facts.get("up") else "断开"
    facts["decided"] = "已结算" if facts.get("closed") else "未结算"
    facts["agreed"] = "与本机一致" if facts.get("agreed") else "与本机不一致"
    text = {**EVENTS, **BESIDE}[words.sentence_of(shown["kind"], facts)].format(**facts)
    text += label(lang, "attempt", attempt=facts["attempt"]) if facts.get("attempt", 1) > 1 else ""
    text += label(lang, "by", by=facts["by"]) if facts.get("by") else ""
    text += f"（{facts['who']}）" if facts.get("who", facts.get("by")) != facts.get("by") else ""
    why = facts.get("because") or facts.get("reason") or facts.get("why")
    return f"{text}：{reason(lang, str(why))}" if why else text
