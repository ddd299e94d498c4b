"""What `posd doctor` says of each thing that it looks at, and the remedy, in English and in Chinese. Data, and two
look-ups. A code has its text; what a person has to do about it stands in TO_DO.
"""

from collections.abc import Mapping
from typing import Any

from posd.cli.lang import Lang

CHECKS: Mapping[str, tuple[str, str]] = {
    "clock": ("clock", "时钟"),
    "disk": ("disk", "磁盘"),
    "sqlite": ("SQLite", "SQLite"),
    "access": ("who may do what", "权限"),
    "keys": ("keys", "密钥"),
    "state": ("state", "状态目录"),
    "backup": ("backup", "备份"),
    "machine": ("machine", "本机"),
    "service": ("service", "服务"),
    "hardening": ("hardening", "加固"),
    "swap": ("swap", "交换区"),
    "certificates": ("certificates", "证书"),
    "routes": ("routes", "线路"),
    "answer": ("last answer", "最近应答"),
    "schedule": ("schedule", "结算计划"),
    "settlement": ("settlement", "结算"),
    "attention": ("attention", "待处理"),
}

TEXTS: Mapping[str, tuple[str, str]] = {
    "clock_good": ("kept in step by a time service", "已与时间服务同步"),
    "clock_free": ("nothing keeps the clock in step", "时钟未同步"),
    "clock_unknown": ("the kernel does not say whether it is kept in step", "内核未说明时钟是否同步"),
    "disk_good": ("{free_mib} MiB free below {folder}", "{folder} 剩余 {free_mib} MiB"),
    "disk_low": (
        "{free_mib} MiB free below {folder}; under {floor_mib} MiB sales are refused",
        "{folder} 剩余 {free_mib} MiB；低于 {floor_mib} MiB 将拒绝消费",
    ),
    "disk_full": (
        "{free_mib} MiB free below {folder}: new sales are refused",
        "{folder} 剩余 {free_mib} MiB：拒绝新消费",
    ),
    "disk_unseen": ("{folder}: {why}", "{folder}：{why}"),
    "sqlite_good": ("{version}", "{version}"),
    "sqlite_old": ("{why}", "{why}"),
    "keys_good": ("{count} keys open, of root or the service's user, closed to others", "{count} 个密钥可用，权限正确"),
    "keys_unseen": ("this user may not look at the keys", "当前用户无权查看密钥"),
    "key_bad": ("{why}", "{why}"),
    "key_of_another": ("{file} belongs to {owner}", "{file} 属于 {owner}"),
    "key_plain": ("{tid} works with a test key in the clear, {file}", "{tid} 使用明文测试密钥 {file}"),
    "rotation_unfinished": ("a rotation of {file} was not finished", "{file} 的更换尚未完成"),
    "machine_key_old": ("the machine key is {days} days old", "本机主密钥已使用 {days} 天"),
    "tmk_old": (
        "the TMK of {tid}, index {index}, is {days} days old",
        "终端 {tid} 主密钥（索引 {index}）已使用 {days} 天",
    ),
    "state_good": ("{folder} is closed to others", "{folder} 权限正确"),
    "state_none": ("{folder} is not there yet; the first start makes it", "{folder} 尚不存在，首次启动时创建"),
    "state_open": ("{folder} has mode {mode}: other users can look into it", "{folder} 权限为 {mode}：其他用户可访问"),
    "backup_none": ("no backups are made (backup.path)", "未设置备份（backup.path）"),
    "backup_unseen": ("this user may not look at the backups", "当前用户无权查看备份"),
    "backup_good": ("{name}, {hours} h old", "{name}，{hours} 小时前"),
    "backup_old": ("the newest is {hours} h old: {name}", "最新备份为 {hours} 小时前：{name}"),
    "backup_missing": ("there is none in {path} yet", "{path} 中尚无备份"),
    "backup_failed": ("the last one failed: {why}", "最近一次备份失败：{why}"),
    "backup_unproven": ("the last proof found: {why}", "最近一次校验发现：{why}"),
    "backup_unproven_long": ("none was proven for {days} days", "{days} 天未校验备份"),
    "machine_bad": ("{why}", "{why}"),
    "machine_good": ("folders, certificates and devices are as they should be", "目录、证书、设备正常"),
    "swap_none": ("this machine has none", "本机未启用"),
    "swap_kept_off": ("it is on, and posd is kept off it", "已启用，但 posd 不使用"),
    "swap_on": (
        "it is on ({areas}) and posd may be swapped out: card numbers and keys would lie there",
        "已启用（{areas}），posd 的内存可能被换出：卡号与密钥会留在其中",
    ),
    "service_good": ("{unit} runs, and will after a boot", "{unit} 运行中，开机自动启动"),
    "service_instance": (
        "one of several here: the commands below want export POSD_CONFIG={config}",
        "本机有多个实例：以下命令需先执行 export POSD_CONFIG={config}",
    ),
    "service_not_enabled": ("{unit} runs, but not after the next boot", "{unit} 运行中，但开机不会自动启动"),
    "service_restarted": (
        "{unit} was restarted {count} times since it was started by hand or boot",
        "{unit} 启动后已自动重启 {count} 次",
    ),
    "service_reload": (
        "{unit} on the disk is newer than what systemd runs",
        "{unit} 的配置文件已更改，systemd 尚未重新加载",
    ),
    "daemon_only": ("posd runs, but not as a service", "posd 运行中，但不是系统服务"),
    "daemon_down": ("posd is not running: nothing is sold, reversed or settled", "posd 未运行：无法消费、冲正、结算"),
    "daemon_not_started": ("posd is not running", "posd 未运行"),
    "daemon_silent": ("{why}", "{why}"),
    "hardening_good": ("exposure {exposure}, watchdog {watchdog}", "暴露值 {exposure}，看门狗 {watchdog}"),
    "hardening_weak": (
        "exposure {exposure}; the unit that ships has at most {most}",
        "暴露值 {exposure}；随附单元不超过 {most}",
    ),
    "hardening_unseen": ("systemd-analyze does not tell", "systemd-analyze 无结果"),
    "no_watchdog": (
        "the unit has no watchdog: a posd that hangs is not noticed",
        "单元未设看门狗：posd 停止响应时无人发现",
    ),
    "no_unit": ("{unit} is not installed here", "{unit} 未安装"),
    "no_systemd": ("systemd does not run here", "本机未运行 systemd"),
    "certificates_good": (
        "{count} good; the first to end is {name}, at {at}",
        "{count} 个正常；最早到期：{name}，{at}",
    ),
    "certificates_wanted": ("{text}", "{text}"),
    "route_up": ("{name}{address}: connected", "{name}{address}：已连接"),
    "route_reachable": ("{name}{address}: reachable in {ms} ms", "{name}{address}：可连接，{ms} 毫秒"),
    "route_down": ("{name}{address}: {why}", "{name}{address}：{why}"),
    "route_serial": ("{name}{address}: a serial line, not tried", "{name}{address}：串口，未尝试"),
    "answer_good": ("{ago} ago", "{ago}前"),
    "answer_old": ("{ago} ago, and a message since then had none", "{ago}前，此后的报文没有应答"),
    "answer_none": ("none since posd was started", "posd 启动后尚无应答"),
    "schedule_good": ("{tid}: next due {at}", "{tid}：下次结算 {at}"),
    "schedule_late": ("{tid}: due since {at}", "{tid}：应于 {at} 结算，尚未完成"),
    "settlement_good": ("{tid}: batch {batch:06d}, {at}", "{tid}：批次 {batch:06d}，{at}"),
    "settlement_none": ("{tid}: none yet", "{tid}：尚无结算"),
    "journal_unread": ("{why}", "{why}"),
    "access_good": ("roles are set", "权限已设置"),
    "access_unset": (
        "no roles are set: whoever is in the socket's group may also approve",
        "未设置权限：套接字所属组的成员均可批准",
    ),
    "access_unknown": (
        "{one} is not of this machine: access.{role} gives it to nobody",
        "本机没有 {one}，access.{role} 对其无效",
    ),
    "access_kept_out": (
        "{user} has a role, but is not in the group {group} and cannot open the control socket",
        "{user} 有权限，但不在 {group} 组，无法打开控制套接字",
    ),
    "till_approves": (
        "a till at {socket} is in the group that may use the control socket, and so may approve",
        "{socket} 上的收银机与控制套接字同组，因此也能批准",
    ),
    "till_open": ("other machines may reach {listen}, which is not encrypted", "其他机器可访问 {listen}，且未加密"),
    "attention_good": ("nothing needs a person", "无需人工处理"),
    "attention_wanted": ("{tid}{text}", "{tid}{text}"),
}

TO_DO: Mapping[str, tuple[str, str]] = {
    "access_unknown": (
        "correct access.{role}, or make it: adduser, addgroup; then reload posd",
        "更正 access.{role}，或用 adduser、addgroup 创建，然后重载 posd",
    ),
    "access_kept_out": (
        "usermod -aG {group} {user}; then a new login",
        "usermod -aG {group} {user}，然后该用户重新打开会话",
    ),
    "access_unset": (
        "name the people who answer for the money in access.approve",
        "在 access.approve 中列出对资金负责的人",
    ),
    "till_approves": (
        "name the people in access.approve; or give the till a token, or a socket in a setgid folder of its own group",
        "在 access.approve 中列出人员；或让收银机使用令牌，或使用其自己组的 setgid 目录中的套接字",
    ),
    "till_open": (
        "let only your TLS proxy reach it: a firewall rule; better a proxy on this machine, and 127.0.0.1",
        "用防火墙只允许 TLS 代理访问；更好的做法是代理与 posd 同机，使用 127.0.0.1",
    ),
    "clock_free": (
        "start a time service: systemctl enable --now systemd-timesyncd, or chrony",
        "启动时间同步服务：systemctl enable --now systemd-timesyncd，或 chrony",
    ),
    "clock_unknown": ("look at it from the machine itself, as root: timedatectl", "请以 root 在本机查看：timedatectl"),
    "disk_low": ("make room, or put state_dir on a larger disk", "清理磁盘，或将 state_dir 移至更大的磁盘"),
    "disk_full": ("make room now; journal.free_bytes_min says how much", "请立即清理磁盘；见 journal.free_bytes_min"),
    "swap_on": (
        "run posd by the unit that ships (MemorySwapMax=0, needs cgroup 2), or turn it off: swapoff -a",
        "请使用随附的服务单元（MemorySwapMax=0，需 cgroup 2），或关闭交换区：swapoff -a",
    ),
    "disk_unseen": ("run doctor as root, or as the service's user", "请以 root 或服务用户运行 doctor"),
    "sqlite_old": ("install posd again: it brings its own", "请重新安装 posd，它自带 SQLite"),
    "backup_none": (
        "give backup.path a folder on another disk, then: posd setup",
        "在 backup.path 中设置另一磁盘上的目录，然后运行 posd setup",
    ),
    "backup_old": (
        "systemctl status {unit} {unit}.timer; posd backup create",
        "systemctl status {unit} {unit}.timer；posd backup create",
    ),
    "backup_missing": (
        "posd setup makes the folder and the timers; then: posd backup create",
        "posd setup 会建立目录和定时器；然后：posd backup create",
    ),
    "backup_unseen": ("run doctor as root", "请以 root 运行 doctor"),
    "backup_failed": ("mend it, then: posd backup create", "排除原因后：posd backup create"),
    "backup_unproven": (
        "make a new one: posd backup create; then: posd backup verify",
        "请重新备份：posd backup create；然后：posd backup verify",
    ),
    "backup_unproven_long": (
        "systemctl status {unit} {unit}.timer; posd backup verify",
        "systemctl status {unit} {unit}.timer；posd backup verify",
    ),
    "keys_unseen": ("run doctor as root", "请以 root 运行 doctor"),
    "key_bad": ("{remedy}", "{remedy}"),
    "key_of_another": (
        "chown root:root {file}, or the service's user without systemd",
        "chown root:root {file}；未用 systemd 时改为服务用户",
    ),
    "key_plain": (
        "for a real host: posd keys load --tid {tid}, and remove tmk_file",
        "正式主机请用：posd keys load --tid {tid}，并删除 tmk_file",
    ),
    "rotation_unfinished": ("posd keys rotate goes on from there", "运行 posd keys rotate 继续"),
    "machine_key_old": ("posd keys rotate --by NAME", "posd keys rotate --by 姓名"),
    "tmk_old": ("ask the acquirer whether it wants another", "请询问收单行是否需要更换"),
    "state_open": ("chmod 700 {folder}", "chmod 700 {folder}"),
    "machine_bad": ("{remedy}", "{remedy}"),
    "service_not_enabled": ("systemctl enable {unit}", "systemctl enable {unit}"),
    "service_restarted": ("look why: journalctl -u {unit}", "查看原因：journalctl -u {unit}"),
    "service_reload": (
        "systemctl daemon-reload && systemctl restart {unit}",
        "systemctl daemon-reload && systemctl restart {unit}",
    ),
    "daemon_only": ("posd setup makes it a service", "用 posd setup 安装为服务"),
    "daemon_down": (
        "systemctl start {unit}; if that fails: journalctl -u {unit}",
        "systemctl start {unit}；若失败：journalctl -u {unit}",
    ),
    "daemon_not_started": ("posd setup makes it a service; or: posd run", "用 posd setup 安装为服务；或：posd run"),
    "daemon_silent": ("if it stays so: systemctl restart {unit}", "若持续如此：systemctl restart {unit}"),
    "hardening_weak": (
        "look for drop-ins: systemctl cat {unit}; posd setup installs the unit that ships",
        "检查附加配置：systemctl cat {unit}；posd setup 可安装随附单元",
    ),
    "no_watchdog": ("posd setup installs the unit that ships", "posd setup 可安装随附单元"),
    "no_unit": ("posd setup installs it", "用 posd setup 安装"),
    "route_down": (
        "check address, cable and firewall; posd connects again by itself",
        "检查地址、网线、防火墙；posd 会自动重连",
    ),
    "certificates_wanted": ("{to_do}", "{to_do}"),
    "answer_old": ("posd routes; then ask the acquirer", "posd routes；并询问收单行"),
    "schedule_late": ("posd status says what it waits for", "posd status 会说明等待原因"),
    "journal_unread": (
        'posd journal verify; see the README, "What happens when"',
        "posd journal verify；见 README“What happens when”",
    ),
    "attention_wanted": ("{to_do}", "{to_do}"),
}


def check_name(lang: Lang, check: str) -> str:
    """What was looked at."""
    return CHECKS[check][lang is Lang.ZH]


def words(lang: Lang, code: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """The text, and the remedy; an empty one where there is nothing to do."""
    to_do = TO_DO.get(code, ("", ""))[lang is Lang.ZH]
    return TEXTS[code][lang is Lang.ZH].format(**facts), to_do.format(**facts)
