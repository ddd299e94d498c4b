"""The UnionPay day of `posd selftest`: every kind of the matrix that a shop's counter has, three troubles, two closes.

The acquirer is set up as the shop's configuration says that its own is: keys, MAC, header, tracks.
"""

from datetime import datetime
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from posd.cli.selftest.day import DECLINED, Client, Script, Seen, Step
from posd.cli.selftest.house import LOOPBACK, TERMINAL_TIMEOUT_S, House, zone_of
from posd.core.state import CloseOutcome
from posd.settings import Settings
from simulators.host.acquirer import Acquirer
from simulators.host.dialects import AnyAcquirer
from simulators.host.settings import HostSettings
from simulators.macs import Keying
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from simulators.wire_form import WireForm

CARD, OTHER, POOR, CHIP = "6225880123456789", "6222021234567890123", "6225880000000014", "6225880000000022"
FOREIGN, EXPIRY, PIN = "4111111111111111", "3012", "246810"
SCRIPT = "72129F1804000000018609841E0000040000000000"
"""Template 72: the identifier of an issuer script, and one command."""

LOST, FORGED, UNSURE = "66.01", "66.02", "66.03"
"""Amounts on which the host loses its answer, answers with a wrong MAC, and answers 68."""

FAULTS = (
    {"do": "lose_answer", "mti": "0200", "amount": LOST, "times": 1},
    {"do": "wrong_mac", "mti": "0200", "amount": FORGED, "times": 1},
    {"do": "answer_code", "mti": "0200", "amount": UNSURE, "code": "68", "times": 1},
)


def script(settings: Settings, house: House) -> Script:
    """The day for these settings."""
    with_pin = settings.terminals[0].pin == "passthrough"
    date = f"{datetime.now(ZoneInfo(zone_of(settings))):%m%d}"
    return Script(
        acquirer=Acquirer(_host(settings, house), 1),
        client=lambda port: cast(Client, _terminal(settings, house, port)),
        parts=(_first_batch(with_pin, date), _second_batch()),
        closes=(CloseOutcome.AGREED, CloseOutcome.OUT_OF_BALANCE),
        may_alert=frozenset({"settlement_out_of_balance", "batch_closed_out_of_balance"}),
        before_part=_before_part,
        bank=settings.host.profile_file is not None,
    )


def _keying(settings: Settings, tracks: Literal["any", "clear", "encrypted"]) -> Keying:
    host = settings.host
    return Keying.model_validate(
        {
            "mac_algorithm": host.mac_algorithm,
            "mac_output": host.mac_output,
            "mak": host.mak,
            "sm4_key_block": host.sm4_key_block,
            "sm4_security_digit": host.sm4_security_digit,
            "sm4_pin_block_bytes": host.sm4_pin_block_bytes,
            "tracks": tracks,
        }
    )


def _wire(settings: Settings) -> WireForm:
    host = settings.host
    return WireForm.model_validate({name: getattr(host, name) for name in WireForm.model_fields})


def _host(settings: Settings, house: House) -> HostSettings:
    terminal = settings.terminals[0]
    cards: list[dict[str, Any]] = [{"pan": CARD, "expiry": EXPIRY, "balance": "100000.00"}]
    cards += [{"pan": CHIP, "expiry": EXPIRY, "balance": "100000.00", "issuer_auth": True, "scripts": [SCRIPT]}]
    cards += [{"pan": OTHER, "expiry": EXPIRY, "balance": "100000.00", "pin": PIN}]
    cards += [{"pan": POOR, "balance": "1.00"}, {"pan": FOREIGN, "scheme": "VIS", "balance": "100000.00"}]
    offset = datetime.now(ZoneInfo(zone_of(settings))).utcoffset()
    assert offset is not None
    return HostSettings.model_validate(
        {
            "terminals": [{"tid": terminal.tid, "mid": terminal.mid, "tmk": house.tmk.hex()}],
            "cards": cards,
            "faults": FAULTS,
            "behaviour": {
                "header_bytes": settings.host.header_bytes,
                "utc_offset_minutes": round(offset.total_seconds() / 60),
                "keys": _keying(settings, "encrypted" if settings.host.track_encryption == "yes" else "any"),
                "wire": _wire(settings),
                "close_at": "totals" if settings.host.end_without_items == "skip" else "end",
                "completion_percent_max": settings.host.completion_percent_max,
            },
        }
    )


def _before_part(number: int, acquirer: AnyAcquirer) -> None:
    """Of the second batch the host says that it does not agree: so its upload is rehearsed too."""
    if number == 1:
        behaviour = acquirer.settings.behaviour.model_copy(update={"unbalance": "both"})
        acquirer.settings = acquirer.settings.model_copy(update={"behaviour": behaviour})


def _terminal(settings: Settings, house: House, port: int) -> TerminalClient:
    host, own = settings.host, settings.terminals[0]
    terminal = Terminal(own.tid, own.mid, house.tmk, sign_in_code=host.sign_in, keying=_keying(settings, "clear"))
    wire = _wire(settings)
    terminal.codec, terminal.totals_groups = wire.codec(terminal.keying.sm4_pin_block_bytes), wire.totals_groups
    tpdu, header = bytes.fromhex(host.tpdu), bytes.fromhex(host.header)
    return TerminalClient(terminal, LOOPBACK, port, timeout_s=TERMINAL_TIMEOUT_S, tpdu=tpdu, header=header)


def _money(amount: str, card: str = CARD, **more: object) -> dict[str, object]:
    return {"card": card, "expiry": EXPIRY, "amount": amount, **more}


def _sale(name: str, title: str, title_zh: str, step: dict[str, object], **wants: Any) -> Step:
    return Step(name, title, title_zh, lambda _: {"do": "sale", **step}, **wants)


def _of(name: str, title: str, title_zh: str, do: str, original: str, **more: object) -> Step:
    """What refers to an earlier one by its trace."""
    return Step(name, title, title_zh, lambda seen: {"do": do, "of_stan": seen[original]["stan"], **more})


def _given(name: str, title: str, title_zh: str, do: str, step: dict[str, object]) -> Step:
    return Step(name, title, title_zh, lambda _: {"do": do, **step})


def _first_batch(with_pin: bool, date: str) -> list[Step]:
    pin = [_sale("pin_sale", "a sale with a PIN", "凭密消费", _money("21.00", OTHER, pin=PIN))] if with_pin else []
    return [
        Step("terminal_sign_in", "a terminal signs in with posd", "终端向 posd 签到", lambda _: {"do": "sign_in"}),
        _sale("sale", "a swiped sale", "刷卡消费", _money("12.34")),
        _sale("typed_sale", "a typed sale", "手输卡号消费", _money("20.00", entry="012")),
        _sale("foreign_sale", "a sale of a foreign card", "外卡消费", _money("33.00", FOREIGN)),
        *pin,
        Step("repeat", "the same request again, answered from the journal", "重复请求由流水应答", _again),
        _sale("declined", "a decline", "拒绝交易", _money("5.00", POOR, entry="022"), wants=(DECLINED,), code="51"),
        _given("balance", "a balance inquiry", "余额查询", "balance", {"card": CARD, "expiry": EXPIRY}),
        _of("void", "the sale is voided", "消费撤销", "void", "sale"),
        *_holds(),
        *_told(),
        Step("refund", "a refund", "退货", lambda seen: _refund(seen, date)),
        *_chips(date),
        *_troubles(),
        _settle("settle", "the terminal settles, and posd with the host", "批结算"),
    ]


def _holds() -> list[Step]:
    return [
        _given("preauth", "a pre-authorisation", "预授权", "preauth", _money("100.00")),
        _of("completion", "it is completed", "预授权完成", "complete", "preauth", amount="80.00"),
        _of("completion_void", "the completion is voided", "预授权完成撤销", "complete_void", "completion"),
        _of("preauth_void", "the hold is released", "预授权撤销", "preauth_void", "preauth"),
        _given("second_preauth", "another pre-authorisation", "再次预授权", "preauth", _money("50.00")),
        _of("notice", "a completion notice", "预授权完成通知", "complete_notice", "second_preauth", amount="50.00"),
    ]


def _told() -> list[Step]:
    return [
        _given("offline", "an offline sale", "离线结算", "offline_sale", _money("30.00", approval="654321")),
        _of("adjust", "it is adjusted", "结算调整", "adjust", "offline", amount="31.00"),
        _of("tip", "a tip", "小费", "tip", "typed_sale", amount="22.00"),
    ]


def _chips(date: str) -> list[Step]:
    on_chip = {"card": CHIP, "expiry": EXPIRY, "entry": "051"}
    return [
        _sale("chip_sale", "a chip sale", "IC 卡消费", _money("22.00", CHIP, entry="051")),
        _of("script_result", "the result of its issuer script", "脚本结果通知", "script_result", "chip_sale"),
        _sale("second_chip_sale", "another chip sale", "再次 IC 卡消费", _money("23.00", CHIP, entry="051")),
        _of("chip_refusal", "the chip refuses: reversed", "卡片拒绝，冲正", "chip_refusal", "second_chip_sale"),
        _given("ec_sale", "a sale by electronic cash", "电子现金消费", "ec_sale", {**on_chip, "amount": "3.00"}),
        Step("ec_refund", "it is refunded", "电子现金退货", lambda seen: _ec_refund(seen, date)),
        _given("ec_load", "a purse is loaded", "指定账户圈存", "ec_load", {**on_chip, "amount": "40.00"}),
        _given(
            "ec_transfer_load",
            "from another account",
            "非指定账户圈存",
            "ec_transfer_load",
            {**on_chip, "amount": "41.00"},
        ),
        _given("ec_cash_load", "with cash", "现金充值", "ec_cash_load", {**on_chip, "amount": "42.00"}),
        _of("ec_cash_load_void", "the cash is taken back", "现金充值撤销", "ec_cash_load_void", "ec_cash_load"),
    ]


def _troubles() -> list[Step]:
    failed = {"wants": (DECLINED,), "code": "98"}
    return [
        _sale("lost", "an answer is lost: failed here, reversed there", "应答丢失，自动冲正", _money(LOST), **failed),
        _sale("forged", "an answer with a wrong MAC", "应答 MAC 错，自动冲正", _money(FORGED), **failed),
        _sale("unsure", "an answer that says nothing (68)", "应答 68，自动冲正", _money(UNSURE), **failed),
    ]


def _second_batch() -> list[Step]:
    return [
        Step("sign_in_again", "the terminal signs in for the new batch", "新批次签到", lambda _: {"do": "sign_in"}),
        _sale("next_sale", "a sale of the next batch", "次批消费", _money("42.00")),
        _settle("settle_again", "the host does not agree: all is uploaded", "对账不平，批上送"),
    ]


def _settle(name: str, title: str, title_zh: str) -> Step:
    """Its own totals agree with posd's books of its batch; how posd's settlement ended is looked at in the audit."""
    return Step(name, title, title_zh, lambda _: {"do": "settle"}, wants=("balanced",))


def _again(seen: Seen) -> dict[str, object]:
    return {"do": "repeat", "stan": seen["sale"]["stan"]}


def _refund(seen: Seen, date: str) -> dict[str, object]:
    return {"do": "refund", **_money("5.00"), "rrn": seen["typed_sale"]["rrn"], "date": date}


def _ec_refund(seen: Seen, date: str) -> dict[str, object]:
    return {"do": "ec_refund", **_money("2.00", CHIP), "of_stan": seen["ec_sale"]["stan"], "date": date}
