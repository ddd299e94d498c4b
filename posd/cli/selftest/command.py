"""`posd selftest`, before going live: the golden vectors, and a day of the profile against the built-in acquirer.

Exit status: 0 all good; 1 a check has findings; 2 misuse or bad configuration; 3 it could not be carried out. Nothing
of the real machine is touched: no folder of the configuration, no key, no address but loopback.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from posd.cli import exit_status
from posd.cli.demo.audit import Check
from posd.cli.lang import Lang
from posd.cli.screen import Progress, paint, print_json, printable, table
from posd.cli.selftest.day import Day, Script
from posd.cli.selftest.house import House, house_of
from posd.cli.selftest.nac import script as nac_script
from posd.cli.selftest.unionpay import script as unionpay_script
from posd.cli.selftest.vectors import vector_checks
from posd.config import load
from posd.dialects import NAC, UNIONPAY
from posd.errors import ConfigError
from posd.settings import Settings

SCRIPTS: Mapping[str, Callable[[Settings, House], Script]] = {UNIONPAY: unionpay_script, NAC: nac_script}
"""The day of each dialect."""

OWN_TID, OWN_MID = "10000001", "898100012345678"

WORDS: Mapping[Lang, Mapping[str, str]] = {
    Lang.EN: {
        "check": "check",
        "result": "result",
        "looked_at": "looked at",
        "good": "✓ good",
        "bad": "✗ bad",
        "all_good": "all good: {count} checks",
        "findings": "{bad} of {count} checks have findings",
        "vectors": "vectors that ship with posd",
        "day": "a day of the profile {profile}, terminal {tid}",
        "own": "with the settings of {file}; its folders, keys and addresses were not used",
        "untried": "not tried: the acquirer itself, its network and certificate, the terminal's real key",
    },
    Lang.ZH: {
        "check": "检查项",
        "result": "结果",
        "looked_at": "项数",
        "good": "✓ 通过",
        "bad": "✗ 不通过",
        "all_good": "全部通过：{count} 项",
        "findings": "{count} 项中有 {bad} 项不通过",
        "vectors": "随 posd 发布的样例",
        "day": "{profile} 规范的模拟营业日，终端 {tid}",
        "own": "使用 {file} 的设置；未使用其目录、密钥和地址",
        "untried": "未验证：真实收单主机、网络与证书、终端真实主密钥",
    },
}


def selftest_command(config: Path | None, profile: str | None, as_json: bool, lang: Lang) -> int:
    """Replay and rehearse. Raises ConfigError for a configuration that cannot be used, PosdError for a broken posd."""
    chosen = _chosen(config, profile)
    parts: dict[str, list[Check]] = {"vectors": list(vector_checks(tuple(chosen)))}
    for name, settings in chosen.items():
        with Progress(f"selftest of {name}", "checks") as progress:
            parts[name] = _lived(name, settings, progress.tell)
    every = [check for checks in parts.values() for check in checks]
    if as_json:
        print_json(_document(config, chosen, parts))
    else:
        _print(config, chosen, parts, lang)
    return exit_status.GOOD if all(check.good for check in every) else exit_status.FINDINGS


def _chosen(config: Path | None, profile: str | None) -> dict[str, Settings]:
    """The settings of each day: those of the file, else the defaults of the profile, or of each that there is."""
    if profile is not None and profile not in SCRIPTS:
        raise ConfigError(f"--profile takes {' or '.join(SCRIPTS)}")
    if config is None:
        return {name: _own_settings(name) for name in ([profile] if profile else SCRIPTS)}
    settings = load(config)
    if profile not in (None, settings.host.profile):
        raise ConfigError(f"--profile {profile}, but {config} has host.profile: {settings.host.profile}; leave it out")
    return {settings.host.profile: settings}


def _own_settings(profile: str) -> Settings:
    """The defaults of a dialect, for a terminal that may do everything."""
    terminal: dict[str, str] = {"tid": OWN_TID, "mid": OWN_MID}
    terminal |= {"unsigned": "accept"} if profile == NAC else {"tmk_file": "not-used.tmk"}
    host = {"profile": profile, "address": "127.0.0.1:5000"}
    return Settings.model_validate({"version": 1, "host": host, "terminals": [terminal]})


def _lived(profile: str, settings: Settings, tell: Callable[[int], None]) -> list[Check]:
    try:
        return asyncio.run(_day(profile, settings, tell))
    except asyncio.CancelledError:  # by a signal
        raise KeyboardInterrupt from None


async def _day(profile: str, settings: Settings, tell: Callable[[int], None]) -> list[Check]:
    async with house_of(settings) as house:
        return await Day(house, SCRIPTS[profile](settings, house), tell).live()


def _document(config: Path | None, chosen: Mapping[str, Settings], parts: Mapping[str, list[Check]]) -> dict[str, Any]:
    """For programs."""
    return {
        "good": all(check.good for checks in parts.values() for check in checks),
        "config": str(config) if config is not None else None,
        "profiles": list(chosen),
        "checks": [
            {
                "part": part,
                "name": check.name,
                "title": check.title,
                "good": check.good,
                "looked_at": check.looked_at,
                "findings": list(check.findings),
            }
            for part, checks in parts.items()
            for check in checks
        ],
    }


def _print(config: Path | None, chosen: Mapping[str, Settings], parts: Mapping[str, list[Check]], lang: Lang) -> None:
    words = WORDS[lang]
    for part, checks in parts.items():
        day = words["day"].format(profile=part, tid=chosen[part].terminals[0].tid) if part in chosen else ""
        print(paint(printable(day or words["vectors"]), "bold"))
        print(_table(checks, words, lang))
        for check in checks:
            for finding in check.findings:
                print(paint(f"  {_title(check, lang)}: {printable(finding)}", "red"))
        print()
    if config is not None:
        print(words["own"].format(file=config))
    print(words["untried"])
    every = [check for checks in parts.values() for check in checks]
    bad = sum(not check.good for check in every)
    text = words["findings" if bad else "all_good"].format(bad=bad, count=len(every))
    print(paint(f"{'✗' if bad else '✓'} {text}", "red" if bad else "green"))


def _table(checks: list[Check], words: Mapping[str, str], lang: Lang) -> str:
    rows = [(_title(check, lang), words["good" if check.good else "bad"], str(check.looked_at)) for check in checks]
    colours = ["" if check.good else "red" for check in checks]
    return table((words["check"], words["result"], words["looked_at"]), rows, right=(2,), colours=colours)


def _title(check: Check, lang: Lang) -> str:
    return check.title_zh if lang is Lang.ZH else check.title
