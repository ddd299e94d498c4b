"""The languages that the people of a shop may choose."""

import os
from collections.abc import Mapping
from enum import StrEnum

from posd.errors import ConfigError


class Lang(StrEnum):
    """The languages that a shop may choose."""

    EN = "en"
    ZH = "zh"


def preferred() -> Lang:
    """The language of the user's locale."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return Lang.ZH if locale.lower().startswith("zh") else Lang.EN


def chosen(name: str | None) -> Lang:
    """The language of that name; None: that of the locale. Raises ConfigError."""
    if name is None:
        return preferred()
    if name not in list(Lang):
        raise ConfigError(f"--lang takes {' or '.join(Lang)}")
    return Lang(name)


GLOSSARY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "journal": ("流水", ()),
    "log": ("日志", ("记录文件",)),
    "stuck": ("卡住", ("受阻", "卡滞", "挂起")),
    "in conflict": ("冲突", ("矛盾",)),
    "in doubt": ("存疑", ("可疑交易", "悬疑")),
    "outcome unknown": ("结果不明", ("结果未知", "状态未知")),
    "reversal": ("冲正", ("反向交易", "抹账")),
    "settlement": ("结算", ("清算", "轧账", "日结")),
    "totals agree": ("对账平", ("轧平", "对平账")),
    "deferred": ("顺延", ("延后", "延迟结算")),
    "held for approval": ("待批准", ("暂扣", "待审批")),
    "advice": ("离线交易", ("离线上送", "离线通知交易")),
    "line": ("线路", ("链路", "通讯线")),
    "door": ("接口", ("接入口", "入口")),
    "till": ("收银机", ("收款机", "收银台")),
    "terminal": ("终端", ("刷卡机",)),
    "sign-in": ("签到", ("登录",)),
    "restore": ("恢复", ("还原",)),
    "backup": ("备份", ()),
    "fenced": ("隔离", ("围栏",)),
}
"""English term -> its one Chinese word, and words that a shop would take for something else."""
