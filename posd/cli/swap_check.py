"""`posd swap-check`: whether this machine may be replaced without its journal. Exit status 1: it may not, and why.

It reads the states, by the daemon or by the journal, and changes nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import ask, open_journal, settings_at
from posd.cli.lang import Lang
from posd.cli.screen import paint, print_json, printable
from posd.daemon.shown.swap import against
from posd.daemon.shown.views import View
from posd.settings import Settings

WHY: Mapping[str, tuple[str, str]] = {
    "fenced": ("fenced: what it owes is not known", "终端已隔离，欠款情况不明"),
    "gap": ("restored from a backup, and not reconciled", "由备份恢复，尚未核对了结"),
    "unconfirmed": ("it is not known whether the host closed the batch", "无法确认主机是否已结算"),
    "unfinished": ("a settlement is under way", "结算尚未完成"),
    "unsettled": ("{count} transaction(s) of the open batch are not settled", "{count} 笔交易尚未结算"),
    "reversals": ("{count} reversal(s) are not ended", "{count} 笔冲正尚未完成"),
    "advices": ("{count} advice(s) are not delivered or were refused", "{count} 笔离线交易未上送或被拒绝"),
    "refunds": ("{count} refund(s) are in doubt", "{count} 笔退货存疑"),
    "scripts_owed": ("{count} issuer script result(s) are to be delivered", "{count} 笔发卡方脚本结果待上送"),
    "scripts_not_told": (
        "of {count} approval(s) the terminal has not told the issuer scripts' results",
        "{count} 笔批准的发卡方脚本结果终端尚未报告",
    ),
    "close_unconfirmed": ("the host never confirmed the close of batch {batch:06d}", "批次 {batch:06d} 主机未确认结算"),
    "close_out_of_balance": ("batch {batch:06d} was closed out of balance", "批次 {batch:06d} 对账不平"),
    "forgotten": ("it is not in the configuration any more, but {why}", "已不在配置中，但仍有未了事项：{why}"),
}

TO_DO: Mapping[str, tuple[str, str]] = {
    "fenced": ("restart posd; if it comes again, report it", "请重启 posd；若再次出现请报告"),
    "gap": ("posd restore-gap list --tid {tid}", "posd restore-gap list --tid {tid}"),
    "unconfirmed": (
        "ask the acquirer; posd settle --tid {tid} --decide closed|open --by NAME --reason TEXT",
        "请联系收单行；posd settle --tid {tid} --decide closed|open --by 姓名 --reason 原因",
    ),
    "unfinished": ("wait for its end: posd status --tid {tid}", "请等待完成：posd status --tid {tid}"),
    "unsettled": ("posd settle --tid {tid}", "posd settle --tid {tid}"),
    "reversals": ("posd reversals list --tid {tid}", "posd reversals list --tid {tid}"),
    "advices": ("posd advices list --tid {tid}", "posd advices list --tid {tid}"),
    "refunds": (
        "posd txn list --tid {tid} --status in_doubt; ask the acquirer, then: posd txn resolve",
        "posd txn list --tid {tid} --status in_doubt；核实后：posd txn resolve",
    ),
    "scripts_owed": ("posd advices retry --tid {tid}", "posd advices retry --tid {tid}"),
    "scripts_not_told": ("have the terminal tell them, or let them go", "请让终端上报，或放弃"),
    "close_unconfirmed": ("posd settle --show {batch} --tid {tid}", "posd settle --show {batch} --tid {tid}"),
    "close_out_of_balance": ("posd settle --show {batch} --tid {tid}", "posd settle --show {batch} --tid {tid}"),
    "forgotten": ("put it back, start posd, and end that", "请恢复该终端配置，启动 posd 并处理"),
}

SAID: Mapping[str, tuple[str, str]] = {
    "good": (
        "Nothing is open: this machine may be replaced. Keep its last backup, and its keys until retention is over.",
        "无未了事项，可以更换本机。请保留最后一份备份；密钥保存期满前请勿丢弃。",
    ),
    "bad": (
        "Do not replace this machine without its journal: end the above, or move the journal along (README, moving).",
        "请勿在不带流水的情况下更换本机：请先处理以上事项，或连同流水一起迁移（见 README）。",
    ),
}


def swap_check_command(config: Path, as_json: bool, lang: Lang) -> int:
    """List what speaks against it, terminal by terminal."""
    settings = settings_at(config)
    said = ask(settings, "status", {})
    found = [(terminal["tid"], one) for terminal in said["terminals"] for one in against(terminal)]
    if not said["posd"]["running"]:  # one that runs had refused to start without a terminal that owes (D35)
        found += _forgotten(settings)
    if as_json:
        print_json({"may_be_replaced": not found, "against": [_view(tid, one) for tid, one in found]})
    else:
        for tid, one in found:
            print(paint(printable(f"! {tid}: {_text(WHY, tid, one, lang)}"), "red"))
            print(printable(f"    {_text(TO_DO, tid, one, lang)}"))
        print(paint(SAID["bad" if found else "good"][lang is Lang.ZH], "yellow" if found else "green"))
    return exit_status.FINDINGS if found else exit_status.GOOD


def _forgotten(settings: Settings) -> Iterator[tuple[str, View]]:
    with open_journal(settings) as journal:
        for tid, why in journal.forgotten():
            yield tid, {"code": "forgotten", "count": 1, "why": why}


def _view(tid: str, one: View) -> View:
    text, to_do = _text(WHY, tid, one, Lang.EN), _text(TO_DO, tid, one, Lang.EN)
    return {"tid": tid, **one, "text": text, "to_do": to_do}


def _text(texts: Mapping[str, tuple[str, str]], tid: str, one: View, lang: Lang) -> str:
    return texts[one["code"]][lang is Lang.ZH].format(tid=tid, **one)
