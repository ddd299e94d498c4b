"""What `posd setup` says and asks, in English and in Chinese. Data, and one look-up."""

from collections.abc import Mapping
from typing import Any

from posd.cli.lang import Lang

TEXTS: Mapping[str, tuple[str, str]] = {
    "ask_host": ("Acquirer's host (address:port)", "收单行主机（地址:端口）"),
    "ask_tid": ("Terminal id (field 41, 8 characters)", "终端号（41 域，8 位）"),
    "ask_mid": ("Merchant id (field 42, 15 characters)", "商户号（42 域，15 位）"),
    "ask_tmk": ("Terminal master key, hexadecimal (not shown)", "终端主密钥，十六进制（不显示）"),
    "ask_tmk_again": ("The same again", "再次输入"),
    "tmk_differs": ("the two differ; try again", "两次输入不一致，请重试"),
    "ask_at": ("Settle at (HH:MM)", "结算时间（HH:MM）"),
    "ask_zone": ("Time zone", "时区"),
    "ask_go": ("Write this to the machine and start posd?", "写入本机并启动 posd？"),
    "will": (
        "user {user}, settings {config}, keys {keys}, journal {state}, service {unit}",
        "用户 {user}，配置 {config}，密钥 {keys}，流水 {state}，服务 {unit}",
    ),
    "done": ("done", "完成"),
    "kept": ("kept", "保留"),
    "user": ("user {user}", "用户 {user}"),
    "folders": ("folders {etc}", "目录 {etc}"),
    "machine_key": ("machine key {file}", "本机主密钥 {file}"),
    "tmk": ("TMK of {tid}, check value {kcv}", "终端 {tid} 主密钥，校验值 {kcv}"),
    "token": ("till's token {file}", "收银机令牌 {file}"),
    "configuration": ("settings {config}", "配置 {config}"),
    "unit": ("unit {unit_file}", "服务单元 {unit_file}"),
    "backup": ("backups in {path}, every night, proven every week", "备份 {path}：每晚一次，每周校验"),
    "backed_up": ("the first backup in {path}", "首次备份 {path}"),
    "started": ("service {unit}: running", "服务 {unit}：运行中"),
    "waiting": (
        "waiting for the host to answer a sign-in (at most {seconds} s)",
        "等待主机签到应答（最多 {seconds} 秒）",
    ),
    "proved": ("host: the line is up, signed in: {signed_in}", "主机：线路已连接，已签到：{signed_in}"),
    "not_proved": (
        "host: no sign-in yet; posd keeps trying. What it says:",
        "主机：尚未签到；posd 会继续尝试。当前情况：",
    ),
    "not_started": (
        "written, not started: systemctl enable --now {unit}",
        "已写入，未启动：systemctl enable --now {unit}",
    ),
    "next": ("Next:", "下一步："),
    "next_copy": (
        "Keep a copy of {file} away from this machine: without it the journal cannot be read.",
        "请将 {file} 备份到本机以外：丢失后流水无法读取。",
    ),
    "next_kcv": (
        "Compare the check value {kcv} with the one that the acquirer gave with the key.",
        "请核对密钥校验值 {kcv} 与收单行提供的是否一致。",
    ),
    "next_terminal": ("Point the terminal at {listen} instead of at the host.", "将终端的主机地址改为 {listen}。"),
    "next_doctor": (
        "See how it is: posd doctor{option}, posd status{option}",
        "查看状态：posd doctor{option}，posd status{option}",
    ),
    "next_more": (
        "More terminals, serial lines, routes: edit {config}, posd check-config {config}, systemctl restart {unit}",
        "更多终端、串口、线路：修改 {config}，posd check-config {config}，systemctl restart {unit}",
    ),
}


def say(lang: Lang, name: str, **facts: Any) -> str:
    """One text."""
    return TEXTS[name][lang is Lang.ZH].format(**facts)
