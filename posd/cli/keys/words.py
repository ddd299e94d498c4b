"""What `posd keys` asks and says, in English and in Chinese. Data, and one look-up."""

from collections.abc import Mapping
from typing import Any

from posd.cli.lang import Lang

TEXTS: Mapping[str, tuple[str, str]] = {
    "what": (
        "TMK of terminal {tid}, index {index}, from {count} components. Nobody but its holder may see a component.",
        "终端 {tid} 主密钥（索引 {index}），共 {count} 个分量。每个分量只能由其持有人查看和输入。",
    ),
    "one_sitting": (
        "All holders have to be here: nothing is kept until the last has confirmed. Ctrl-C keeps nothing.",
        "所有持有人必须同时在场：最后确认之前不保存任何内容。按 Ctrl-C 放弃，不保存。",
    ),
    "not_configured": (
        "terminal {tid} is not in the configuration: the key is kept and not used until it is",
        "终端 {tid} 不在配置中：密钥将保存，配置后才会使用",
    ),
    "ask_name": ("Component {number} of {count}: holder's name", "第 {number}/{count} 分量：持有人姓名"),
    "same_name": (
        "each component has a holder of its own; {name} has entered one already",
        "每个分量须由不同的人输入；{name} 已输入过",
    ),
    "ask_component": ("Component {number}, hexadecimal (not shown)", "第 {number} 分量，十六进制（不显示）"),
    "component_value": ("Component {number}: check value {kcv}", "第 {number} 分量：校验值 {kcv}"),
    "ask_right": ("Is it the one on your sheet? [y/n]", "与密钥单上的校验值一致吗？[y/n]"),
    "again": ("then once more", "请重新输入"),
    "key_value": ("The key: check value {kcv}", "合成密钥：校验值 {kcv}"),
    "ask_key_right": ("Is it the one of the acquirer's letter? [y/n]", "与收单行提供的校验值一致吗？[y/n]"),
    "nothing_kept": ("not confirmed: nothing was kept", "未确认：没有保存任何内容"),
    "kept": (
        "kept in home {home}: TMK of {tid}, index {index}, check value {kcv}",
        "已保存（存放处 {home}）：终端 {tid} 主密钥，索引 {index}，校验值 {kcv}",
    ),
    "restart": (
        "posd uses it from its next start: systemctl restart posd",
        "posd 下次启动后使用：systemctl restart posd",
    ),
    "to_use": (
        "to use it: tmk_index: {index} for terminal {tid} in the configuration, then restart posd",
        "启用方法：在配置中为终端 {tid} 设置 tmk_index: {index}，然后重启 posd",
    ),
    "removed": (
        "removed: TMK of {tid}, index {index}, check value {kcv}",
        "已删除：终端 {tid} 主密钥，索引 {index}，校验值 {kcv}",
    ),
    "none": (
        "There is no TMK yet; load one: posd keys load --tid TID",
        "尚无终端主密钥；请载入：posd keys load --tid TID",
    ),
    "plain": (
        "terminal {tid} works with a test key in the clear: {file}",
        "终端 {tid} 使用明文测试密钥：{file}",
    ),
    "rotated": (
        "machine key {old} was replaced by {new}; {count} file(s) wrapped anew",
        "本机主密钥 {old} 已更换为 {new}；重新封装 {count} 个文件",
    ),
    "rotated_next": (
        "Keep a copy of {file} elsewhere. Copies of data keys that are kept elsewhere need the old key: renew them.",
        "请将 {file} 备份到本机以外。另存他处的数据密钥副本只能用旧密钥打开，请予更新。",
    ),
    "copies_behind": (
        "the copies of the data keys are still under the old machine key: {why}; mend it, then: posd backup create",
        "数据密钥副本仍由旧的本机主密钥封装：{why}；排除后请执行 posd backup create",
    ),
    "rotated_unreadable": (
        "{file} opens under no machine key that posd has: it was lost before, and was left alone",
        "{file} 无法用现有主密钥打开：此前已失效，未作改动",
    ),
    "rotation_finished": (
        "the rotation before was all but done: the old key beside {file} is destroyed now",
        "上次更换已基本完成：现已销毁 {file} 旁的旧密钥",
    ),
    "heads": (
        "TERMINAL|INDEX|IN USE|CIPHER|CHECK VALUE|HOME|ENTERED BY|AT|AGE",
        "终端|索引|使用中|算法|校验值|存放处|输入人|时间|已用",
    ),
    "yes": ("yes", "是"),
}


def say(lang: Lang, name: str, /, **facts: Any) -> str:
    """One text."""
    return TEXTS[name][lang is Lang.ZH].format(**facts)
