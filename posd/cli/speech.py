"""What `posd status` and `posd settle` say to the people of a shop, in English and in Chinese. Data, and two lookups.

The daemon's own words are English; here is what they are in Chinese, by their codes. Reasons of a known shape have
Chinese words too (reason_words.py); a text of no known shape stays in English.
"""

from collections.abc import Mapping
from typing import Any

from posd.cli.lang import Lang
from posd.cli.reason_words import reason
from posd.daemon.shown.views import View

TEXTS: Mapping[str, tuple[str, str]] = {
    "running": (
        "posd {version}, running for {up}; line to the host: {line}",
        "posd {version}，已运行 {up}；主机线路：{line}",
    ),
    "stopped": ("posd {version} is not running", "posd {version} 未运行"),
    "parameters": ("The host's parameters, told at {at}:", "主机下发的参数（{at}）："),
    "line_up": ("up", "已连接"),
    "line_up_by": ("up, by route {route}", "已连接，线路 {route}"),
    "line_down": ("down ({why})", "断开（{why}）"),
    "head_route": ("  ROUTE", "  线路"),
    "head_address": ("ADDRESS", "地址"),
    "head_state": ("STATE", "状态"),
    "head_since": ("SINCE", "自"),
    "head_last_good": ("LAST GOOD", "最近正常"),
    "head_connect": ("CONNECT", "连接耗时"),
    "head_answer": ("ANSWER", "应答耗时"),
    "head_sent": ("SENT", "已发送"),
    "only_route": ("(the only one)", "（唯一线路）"),
    "route_error": (
        "{route}: last error {at}: {why}; refused {refused}, ended {ended}, silent {silences} times since the start",
        "{route}：最近错误 {at}：{why}；启动以来连接失败 {refused} 次，断开 {ended} 次，无应答 {silences} 次",
    ),
    "route_certificate": (
        "{route}: the host's certificate is {subject}, good until {ends}; pin {pin}",
        "{route}：主机证书 {subject}，有效期至 {ends}；公钥指纹 {pin}",
    ),
    "route_unverified": (
        "{route}: NOT VERIFIED: anyone may pretend to be the host",
        "{route}：未验证主机证书，任何人都可冒充主机",
    ),
    "route_proves": (
        "{route}: used again if it stays good for {wait} more",
        "{route}：若再保持正常 {wait}，将恢复使用",
    ),
    "terminal": ("TERMINAL", "终端号"),
    "host": ("HOST", "主机"),
    "batch": ("BATCH", "批次号"),
    "transactions": ("TRANSACTIONS", "交易"),
    "debit": ("DEBIT", "借记"),
    "credit": ("CREDIT", "贷记"),
    "reversals": ("REVERSALS", "冲正"),
    "settlement": ("SETTLEMENT", "结算"),
    "last_close": ("LAST CLOSE", "上次结算"),
    "host_signed_in": ("signed in", "已签到"),
    "host_signed_out": ("not signed in", "未签到"),
    "host_no_line": ("no line", "线路断开"),
    "host_keys_wrong": ("KEYS DO NOT FIT", "密钥不符"),
    "host_not_running": ("not running", "未运行"),
    "host_fenced": ("fenced", "已隔离"),
    "door_tcp": ("door for terminals {where}: ", "终端接口 {where}："),
    "door_serial": ("door for a terminal {where}: ", "终端串口接口 {where}："),
    "door_till": ("door for tills {where}: ", "收银机接口 {where}："),
    "door_is_up": ("open, {connected} connected", "已开放，已连接 {connected} 个"),
    "door_is_full": ("FULL, {connected} of {most} connected", "已满，已连接 {connected}/{most} 个"),
    "door_is_down": ("DOWN ({why})", "中断（{why}）"),
    "empty": ("nothing in the journal yet", "流水中尚无记录"),
    "in_totals": ("{count} ({counted} to settle)", "{count} 笔（{counted} 笔待结算）"),
    "amount": ("{amount} ({count})", "{amount}（{count} 笔）"),
    "none": ("none", "无"),
    "owed": ("{count} owed", "{count} 笔待发"),
    "stuck": ("{count} stuck", "{count} 笔卡住"),
    "conflict": ("{count} in conflict", "{count} 笔冲突"),
    "on_hold": ("{count} held", "{count} 笔待核实"),
    "gap": ("waits: restored, not reconciled", "等待：恢复后尚未核对"),
    "next_due": ("due {at}", "{at} 结算"),
    "late": ("LATE since {at}", "已逾期，自 {at}"),
    "due_since": ("due since {at}", "自 {at} 起待结算"),
    "is_settled": ("settled; next due {at}", "已结清，下次 {at}"),
    "is_deferred": ("deferred until {at}", "顺延至 {at}"),
    "is_held": ("HELD: {gross} above {maximum}", "待批准：{gross} 超过 {maximum}"),
    "wanted": ("due now", "现应结算"),
    "all_good": ("Nothing needs a person.", "一切正常，无需处理。"),
    "days": ("{n} d {m} h", "{n} 天 {m} 小时"),
    "hours": ("{n} h {m} min", "{n} 小时 {m} 分"),
    "minutes": ("{n} min {m} s", "{n} 分 {m} 秒"),
    "to_do": ("do: {text}", "处理：{text}"),
    "settled": (
        "terminal {tid}: batch {batch:06d}: {text}; debit {debit}, credit {credit}; next batch {next:06d}",
        "终端 {tid}：批次 {batch:06d}：{text}；借记 {debit}，贷记 {credit}；下一批次 {next:06d}",
    ),
    "carried_over": ("{count} reversal(s) are still owed and go on", "仍有 {count} 笔冲正未完成，将继续发送"),
    "nothing": ("terminal {tid}: there is nothing to settle", "终端 {tid}：没有可结算的交易"),
    "postponed": (
        "terminal {tid}: postponed, posd settles as soon as it can: {reason}",
        "终端 {tid}：结算推迟，条件具备后自动进行：{reason}",
    ),
    "held": (
        "terminal {tid}: held, posd goes on by itself when it can: {reason}",
        "终端 {tid}：结算等待中，条件具备后自动继续：{reason}",
    ),
    "waits": (
        "terminal {tid}: not settled, it waits for a person: {reason} (posd settle --tid {tid} --approve …)",
        "终端 {tid}：未结算，超过上限，须由专人批准：posd settle --tid {tid} --approve --by 姓名 --reason 原因",
    ),
    "refused": ("terminal {tid}: not settled: {reason}", "终端 {tid}：未结算：{reason}"),
    "leaving": (
        "you left; the settlement goes on: see posd status",
        "已退出查看，结算仍在继续：请用 posd status 查看",
    ),
    "still": ("{text}, still", "{text}，仍在进行"),
    "uploaded": ("{text} ({done} of {all})", "{text}（{done}/{all}）"),
}

ROUTE_STATES: Mapping[str, tuple[str, str]] = {
    "connecting": ("connecting", "正在连接"),
    "up": ("up", "正常"),
    "failed": ("DOWN", "中断"),
    "proving": ("proving itself", "恢复观察中"),
    "unknown": ("unknown", "未知"),
}

PHASES: Mapping[str, str] = {
    "open": "未结算",
    "draining": "结算中：正在完成冲正",
    "totals": "结算中：正在与主机对账",
    "uploading": "结算中：正在上送交易明细",
    "trailer": "结算中：正在结束批次",
    "unconfirmed": "结算中：无法确认主机是否已结算",
}

OUTCOMES: Mapping[str, str] = {
    "agreed": "已结算，对账平",
    "out_of_balance": "已结算，但对账不平",
    "unconfirmed": "已结算，主机未直接确认",
    "empty": "无交易，未结算",
}

SHORT_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "agreed": ("agreed", "对账平"),
    "out_of_balance": ("OUT OF BALANCE", "对账不平"),
    "unconfirmed": ("unconfirmed", "未确认"),
    "empty": ("empty", "无交易"),
}

DOING: Mapping[str, str] = {
    "sign_in": "正在签到",
    "sign_off": "正在签退",
    "management": "正在下载参数",
    "echo": "正在测试线路",
    "transaction": "正在完成交易",
    "reversal": "正在发送冲正",
    "totals": "正在对账",
    "upload": "正在上送交易明细",
    "trailer": "正在结束批次",
}

ROLES: Mapping[str, str] = {
    "host": "主机证书",
    "ours": "本机客户端证书",
    "authority": "主机证书的 CA",
    "door": "接口证书",
    "terminals": "终端证书的 CA",
}
"""Whose certificate (daemon/shown/certificate_view.py)."""

DEEDS: Mapping[str, str] = {
    "approve_settlement": "批准结算",
    "decide_settlement": "认定批次是否已结算",
    "resolve_reversal": "了结冲正",
    "resolve_advice": "了结离线交易",
    "resolve_refund": "认定退货是否成功",
}

PROPOSAL_ENDS: Mapping[str, str] = {
    "confirmed": "第二人已复核",
    "withdrawn": "已撤回",
    "expired": "逾期无人复核",
    "outgrown": "金额已超过第一人所见，重新开始",
    "one_is_enough": "金额已降低，一人即可",
    "overtaken": "所涉事项已了结",
}

FINDINGS: Mapping[str, str] = {
    "restore_gap": (
        "posd 由 {since} 的备份恢复：至 {until} 的交易不明（流水号 {first:06d} 至 {last:06d}，批次 {batches}），"
        "专人核对了结前不结算"
    ),
    "restore_waits": "恢复后尚不能全部受理：等待主机批次号、终端签到，或由专人放行",
    "restore_held": "备份中有 {count} 笔冲正或离线交易待核实，主机是否已处理不明",
    "settings_refused": "磁盘上的配置未生效，已被拒绝（共 {count} 处）：{why}",
    "settings_restart": "配置已更改，以下设置须重启后生效：{names}",
    "certificate_soon": "{role}（{of}）将于 {ends} 到期，还有 {days} 天",
    "certificate_expired": "{role}（{of}）已于 {ends} 过期：现有连接不受影响，新连接将被拒绝",
    "certificate_early": "{role}（{of}）自 {begins} 起才有效，或本机时钟不准",
    "host_not_verified": "未验证 {where} 的主机证书：任何人都可冒充主机",
    "second_person_needed": "待第二人复核：{said_by} 提出{deed}，金额 {at_stake}，{ends_at} 失效",
    "sales_blocked": "冲正未完成，暂停新的交易（reversal.on_stuck: block）",
    "reversals_conflict": "{count} 笔冲正与主机记录冲突，须由专人处理",
    "refunds_in_doubt": "{count} 笔退货存疑，无法确认款项是否已退，请联系收单行核实",
    "advices_refused": "{count} 笔离线交易被主机拒绝，请联系收单行核实",
    "advices_doubtful": "{count} 笔离线交易被主机拒绝，但主机可能已入账，请联系收单行核实",
    "download_failed": "主机参数下载未成功（{count} 次）：{why}",
    "advices_stuck": "{count} 笔离线交易卡住：多次上送未成功，仍会继续，请专人核实",
    "advices_owed": "{count} 笔离线交易待上送，posd 正在处理",
    "script_results_refused": "{count} 笔发卡方脚本结果被主机拒绝，不涉及金额",
    "script_results_owed": "{count} 笔发卡方脚本结果待上送，先于其他报文",
    "scripts_not_told": "{count} 笔批准带有发卡方脚本，终端尚未报告脚本处理结果",
    "approvals_flagged": "{count} 笔批准须由发卡方确认",
    "reversals_stuck": "{count} 笔冲正卡住：多次发送未成功，仍会继续，请专人核实",
    "reversals_owed": "{count} 笔冲正待完成，posd 正在处理",
    "settlement_unconfirmed": "无法确认主机是否已结算，请联系收单行",
    "batch_number_refused": "主机不认批次 {batch:06d}；批次号更正前无法交易",
    "settlement_failing": "结算多次失败：{why}；完成前无法交易，请联系收单行确认批次是否已结算",
    "settlement_late": "结算已逾期（应于 {since}）：{why}",
    "settlement_held": "结算待批准：{gross} 超过上限 {maximum}；期间可继续交易",
    "settlement_deferred": "结算顺延至 {until}：{gross} 低于下限 {minimum}",
    "host_cutover_near": "主机将于 {at} 日切，本批次尚未结算",
    "last_close": "批次 {batch:06d}：{outcome}",
    "fenced": "终端已隔离，停止处理：{why}",
    "signed_out": "未签到：{why}",
    "link_down": "主机线路断开：{why}",
    "route_down": "线路 {name} 中断：{why}；当前使用：{by}",
    "daemon_down": "posd 未运行：无法交易、冲正和结算；以下内容来自流水",
    "door_down": "接口 {where} 中断：{why}；设备无法接入",
    "door_full": "接口 {where} 已满（上限 {most}），自 {since} 起已拒绝 {count} 次连接，最近 {last}",
    "door_was_full": "接口 {where} 曾满（上限 {most}），自 {since} 起拒绝过 {count} 次连接，最近 {last}",
    "door_unproven": "接口 {where} 有 {count} 次连接未能以 TLS 证明身份，最近 {last}：{why}",
    "keys_wrong": "密钥与主机不符，更正前无法交易：{why}",
    "request_key_reused": "收银机或终端用已用过的请求号发来另一笔交易，已拒绝（{count} 次，最近 {last}）",
    "answered_from_a_closed_batch": "终端重复询问已结算批次的交易，已按原结果应答（{count} 次，最近 {last}）",
    "batch_number_was_closed_by_us": "人工设定的批次号本机已结算过（{count} 次，最近 {last}）",
    "number_of_a_closed_batch": "终端重复使用已结算批次的流水号和凭证号，已拒绝（{count} 次，最近 {last}）",
    "host_batch_number_was_closed_by_us": "主机给出的批次号本机已结算过（{count} 次，最近 {last}）",
    "disk_nearly_full": "磁盘将满：拒绝新消费，冲正与结算继续",
    "clock_unsynchronised": "本机时钟没有校时服务",
    "token_out_of_reach": "无法访问存放密钥的令牌：需要密钥的交易被拒绝，未完成的冲正等待",
    "card_keys_not_destroyed": "到期的数据密钥无法销毁，其卡号仍可读取",
    "segments_not_here": "部分归档月份不在本机：需要其记录的操作会被拒绝",
}

TO_DO: Mapping[str, str] = {
    "restore_gap": "与收单行核对：posd restore-gap list --tid {tid}；了结：posd restore-gap resolve --tid {tid}",
    "restore_waits": "专人可放行：posd restore-gap admit --tid {tid} --by 姓名 --reason 原因",
    "restore_held": "查看：posd restore-gap list --tid {tid}",
    "settings_refused": "请用 posd check-config 检查并更正，然后执行 systemctl reload posd",
    "settings_restart": "systemctl restart posd",
    "certificate_soon": "请换上新证书（主机证书请联系收单行），然后执行 systemctl reload posd",
    "certificate_expired": "请换上新证书（主机证书请联系收单行），然后执行 systemctl reload posd",
    "certificate_early": "请先核对本机时钟",
    "host_not_verified": '请设 host.tls.verify: "yes" 并配置收单行的 ca_file，然后执行 systemctl restart posd',
    "refunds_in_doubt": "查看：posd txn list --tid {tid} --status in_doubt；核实后：posd txn resolve",
    "settlement_late": "原因消除后 posd 会自动结算；立即尝试：posd settle --tid {tid}",
    "settlement_held": "核对后批准：posd settle --tid {tid} --approve --by 姓名 --reason 原因",
    "host_cutover_near": "立即结算：posd settle --tid {tid}",
    "last_close": "与收单行核对：posd settle --show {batch} --tid {tid}",
    "settlement_deferred": "无需处理；立即结算：posd settle --tid {tid}",
    "download_failed": "posd 会自动重试；立即下载：posd terminal download {tid}",
    "fenced": "请重启 posd；若再次出现请报告",
    "signed_out": "posd 会自动重新签到",
    "link_down": "posd 会自动重新连接",
    "route_down": "请检查该线路；恢复后 posd 会自动切回",
    "door_down": "请检查接线或转接器；恢复后 posd 会自动重新打开",
    "door_full": "请查明占用连接的设备，或调大 {setting}.connections_max 后重启 posd",
    "door_was_full": "请查明占用连接的设备，或调大 {setting}.connections_max 后重启 posd",
    "door_unproven": "若是本店终端，请检查其证书；否则请查明谁能访问该端口",
    "keys_wrong": "请与收单行核对该终端的 TMK（posd keys list）、host.sign_in 和 host.mak，更正后重启 posd",
    "request_key_reused": "每笔交易须用新的请求号（或流水号），请联系收银机维护方",
    "answered_from_a_closed_batch": "若本意是新交易，则并未成交：请检查终端的流水号",
    "batch_number_was_closed_by_us": "请向收单行确认主机当前批次；已结算批次见 posd settle --show",
    "number_of_a_closed_batch": "终端曾重置或更换：请将其流水号和凭证号调到原号码之后",
    "batch_number_refused": "向收单行确认后：posd terminal batch {tid} --number 批次号 --by 姓名 --reason 原因",
    "host_batch_number_was_closed_by_us": "请向收单行确认主机当前批次；已结算批次见 posd settle --show",
    "daemon_down": "请启动：systemctl start posd 或 posd run",
    "disk_nearly_full": "请清理 state_dir 所在磁盘（见 journal.free_bytes_min）",
    "clock_unsynchronised": "请启用校时服务，如 systemd-timesyncd 或 chrony",
    "token_out_of_reach": "请插入令牌，或用 posd keys list 查看原因；posd 会自动重新连接",
    "card_keys_not_destroyed": "位置见日志中的告警；若为 backup.keys_to，请恢复该位置，或执行 posd backup create",
    "segments_not_here": "posd journal archives 会列出；请放回原处，或妥善保管",
}

BLOCKERS: Mapping[str, str] = {
    "daemon_down": "posd 未运行",
    "link_down": "主机线路断开",
    "signed_out": "未签到",
    "fenced": "终端已隔离",
    "unconfirmed": "无法确认主机是否已结算，须由专人决定",
    "gap": "由备份恢复，尚未核对了结",
    "reversals": "有冲正尚未完成",
    "advices": "有离线交易尚未上送",
    "confirmations": "有交易尚待收银机确认",
    "held": "超过上限，须由专人批准",
    "deferred": "低于下限，顺延",
}


def say(lang: Lang, name: str, **facts: Any) -> str:
    """The text of that name."""
    english, chinese = TEXTS[name]
    return (chinese if lang is Lang.ZH else english).format(**facts)


def phase(lang: Lang, view: View) -> str:
    """A settlement's phase."""
    return PHASES.get(view["phase"], view["text"]) if lang is Lang.ZH else str(view["text"])


def doing(lang: Lang, line: View) -> str:
    """What a progress line says."""
    if lang is Lang.EN:
        return str(line["text"])
    return DOING[line["doing"]] if line["doing"] in DOING else PHASES.get(line["phase"], line["text"])


def outcome(lang: Lang, close: View) -> str:
    """How a batch was closed."""
    return OUTCOMES.get(close["outcome"], close["text"]) if lang is Lang.ZH else str(close["text"])


def short_outcome(lang: Lang, close: View) -> str:
    """The same in a word or two, for a table."""
    return SHORT_OUTCOMES[close["outcome"]][lang is Lang.ZH]


def finding(lang: Lang, found: View) -> tuple[str, str]:
    """A finding's text, and what a person can do."""
    code, facts = found["code"], found["facts"]
    if lang is Lang.EN or code not in FINDINGS:
        return found["text"], found["to_do"]
    blocked = [
        BLOCKERS.get(blocker["code"]) or reason(lang, blocker["text"]) for blocker in facts.get("blocked_by", [])
    ]
    shown = {**facts, "why": "；".join(blocked) or reason(lang, facts.get("why", ""))}
    if code.startswith("certificate_"):
        shown["role"] = ROLES[shown["role"]]
    if "deed" in shown:
        shown["deed"] = DEEDS[shown["deed"]]
    if "outcome" in shown:
        shown["outcome"] = OUTCOMES[shown["outcome"]]
    to_do = TO_DO[code].format(tid=found["tid"], **facts) if code in TO_DO else found["to_do"]
    return FINDINGS[code].format(**shown), to_do
