"""The reasons that the engine, the keys and the line give, in Chinese, by their shapes (daemon/shown/reasons.py)."""

from collections.abc import Mapping

from posd.cli.lang import Lang
from posd.daemon.shown.reasons import reason as known

REASONS: Mapping[str, str] = {
    "held_keys": "保存的密钥无法解开：{inner}",
    "mak_length": "MAK 校验值不符，密钥实为 {word} 长度：请设 host.mak: {word}",
    "keys_wrong": "{name} 校验值不符：终端 TMK 与主机不一致，或密钥数据损坏",
    "key_block_length": "密钥数据为 {given} 字节，按配置应为 {wanted} 字节：请与收单行核对 host.sign_in",
    "tmk_length": "TMK 长度不对（{given} 字节）",
    "mak_algorithm": "MAK 长度（{given} 字节）与 host.mac_algorithm 不符：请核对 host.mak 和 host.sign_in",
    "sign_in_failed": "结算前签到失败：{inner}",
    "mac_unfit": "主机应答 {code}，且 MAC 不符",
    "answered_to": "主机对{what}应答 {code}",
    "answered": "主机应答 {code}",
    "host_wants": "主机要求：{wants}",
    "batch_question": "以主机批次号确认该批次是否已结算",
    "batch_closed": "批次已结算，重新签到",
    "clock": "本机时钟与主机相差 {seconds} 秒",
    "never_signed_in": "尚未签到",
    "not_connected": "尚未连接",
    "closed_in_frame": "{inner}（报文收到 {bytes} 字节时）",
    "closed_by_peer": "对方断开连接",
    "closed_by_us": "本机断开连接",
    "no_connection": "{seconds} 秒内无法连接 {peer}",
    "no_tls": "{seconds} 秒内无法与 {peer} 建立 TLS",
    "no_tls_because": "无法与 {peer} 建立 TLS：{inner}",
    "tls_untrusted": "对方证书不是受信任的 CA 签发",
    "tls_self_signed": "对方证书为自签名，且不在信任之列",
    "tls_expired": "对方证书已过期",
    "tls_early": "对方证书尚未生效，或本机时钟不准",
    "tls_name": "对方证书中没有名称 {name}（SAN）",
    "tls_pin": "对方公钥与固定的公钥不符",
    "tls_version": "双方没有共同的 TLS 版本",
    "tls_none": "对方发来的不是 TLS",
    "tls_wanted": "对方要求本机出示证书",
    "tls_ours_expired": "对方认为本机证书已过期",
    "tls_ours_refused": "对方不接受本机证书",
    "tls_shown_none": "对方未出示证书",
    "cannot_open": "无法打开 {device}：{inner}",
    "connect_failed": "无法连接 {peer}：{inner}",
    "refused": "连接被拒绝",
    "unreachable": "网络不可达",
    "reset": "连接被重置",
    "timed_out": "连接超时",
    "no_device": "设备不存在或已拔出",
}
"""Code of a shape -> its words; `inner` is a reason itself."""

OF = {"settlement message": "结算报文", "reversal": "冲正", "advice": "离线交易"}


def reason(lang: Lang, text: str) -> str:
    """`text` in that language, where its shape is known; else as it is."""
    found = known(text) if lang is Lang.ZH else None
    if found is None:
        return text
    facts = dict(found.facts)
    if "inner" in facts:
        facts["inner"] = reason(lang, facts["inner"])
    if "what" in facts:
        facts["what"] = OF[facts["what"]]
    return REASONS[found.code].format(**facts)
