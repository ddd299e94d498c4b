"""The NAC / Hypercom day of `posd selftest`: every kind of the catalogue, lost answers and cut lines, three closes.

The acquirer is set up as the shop's configuration says that its own is: NII, filling up, MAC, voids in the totals.
"""

from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from posd.cli.selftest.day import APPROVED, DECLINED, Client, Script, Seen, Step
from posd.cli.selftest.house import LOOPBACK, TERMINAL_TIMEOUT_S, House, zone_of
from posd.config.dialect import NO_MAC
from posd.core.state import CloseOutcome
from posd.iso8583.codec import Codec
from posd.iso8583.nac import VariablePad, nac_spec
from posd.security.mac import ALGORITHMS
from posd.settings import Settings
from simulators.crypto import BLOCK_BYTES
from simulators.host.dialects import AnyAcquirer
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.settings import HostSettings
from simulators.macs import Keying
from simulators.terminal.nac_client import NacClient
from simulators.terminal.nac_core import NacTerminal

CARD, OTHER, POOR, EXPIRY = "4761739001010119", "5413330089010434", "4761730000000011", "3012"
LOST, CUT = "66.01", "66.02"
"""Amounts on which the host loses its answer, and cuts the line instead of answering."""

FAULTS = (
    {"do": "lose_answer", "mti": "0200", "amount": LOST, "times": 1},
    {"do": "close", "mti": "0200", "amount": CUT, "when": "after", "times": 1},
)
DISAGREEMENTS = ("never", "totals", "always")
"""Of each batch: the host agrees, wants the batch uploaded (95), and does not agree after the upload either (77)."""

STAGED = frozenset({"settlement_out_of_balance", "batch_closed_out_of_balance"})
TERMINAL_DIFFERS = frozenset({"terminal_totals_differ", "terminal_items_differ", "terminal_upload_incomplete"})
"""Where the host credits voids: the simulated terminal leaves them out of its own totals."""

UNSIGNED_REFUSED = "58"
"""What a terminal is told that signs nothing and wants what needs a signature (D28)."""


def script(settings: Settings, house: House) -> Script:
    """The day for these settings."""
    if 2 * BLOCK_BYTES not in _key_bytes(settings):
        house.tmk = house.tmk[:BLOCK_BYTES]
    return Script(
        acquirer=NacAcquirer(_host(settings, house), 1),
        client=lambda port: cast(Client, _terminal(settings, house, port)),
        parts=(_first_batch(settings), _next_batch(settings, "second"), _next_batch(settings, "third")),
        closes=(CloseOutcome.AGREED, CloseOutcome.AGREED, CloseOutcome.OUT_OF_BALANCE),
        may_alert=STAGED | (TERMINAL_DIFFERS if settings.host.nac.voids == "credited" else frozenset()),
        bank=settings.host.profile_file is not None,
        before_part=_before_part,
    )


def _key_bytes(settings: Settings) -> frozenset[int]:
    algorithm = ALGORITHMS.get(settings.host.mac_algorithm)
    return frozenset(algorithm.key_bytes) if algorithm is not None else frozenset({2 * BLOCK_BYTES})


def _signs(settings: Settings) -> bool:
    return settings.host.mac_algorithm != NO_MAC


def _mac_key(settings: Settings, house: House) -> bytes:
    """Of the simulators, which take sixteen bytes: a single key twice is that key."""
    return (house.tmk * 2)[: 2 * BLOCK_BYTES] if _signs(settings) else b""


def _keying(settings: Settings) -> Keying:
    host = settings.host
    if not _signs(settings):
        return Keying()
    return Keying.model_validate({"mac_algorithm": host.mac_algorithm, "mac_output": host.mac_output})


def _host(settings: Settings, house: House) -> HostSettings:
    terminal, nac = settings.terminals[0], settings.host.nac
    offset = datetime.now(ZoneInfo(zone_of(settings))).utcoffset()
    assert offset is not None
    cards: list[dict[str, Any]] = [{"pan": CARD, "expiry": EXPIRY, "balance": "100000.00", "scheme": "VIS"}]
    cards += [
        {"pan": OTHER, "balance": "100000.00", "scheme": "MCC"},
        {"pan": POOR, "balance": "1.00", "scheme": "VIS"},
    ]
    return HostSettings.model_validate(
        {
            "profile": "nac",
            "terminals": [{"tid": terminal.tid, "mid": terminal.mid, "batch": nac.batch_number_first}],
            "cards": cards,
            "faults": FAULTS,
            "behaviour": {"utc_offset_minutes": round(offset.total_seconds() / 60), "keys": _keying(settings)},
            "nac": {
                "nii": nac.nii,
                "voids": nac.voids,
                "pad": nac.pad,
                "ascii_wire": nac.wire == "ascii",
                "length": nac.length,
                "mac_key": _mac_key(settings, house).hex(),
            },
        }
    )


def _before_part(number: int, acquirer: AnyAcquirer) -> None:
    nac = acquirer.settings.nac.model_copy(update={"disagree": DISAGREEMENTS[number]})
    acquirer.settings = acquirer.settings.model_copy(update={"nac": nac})


def _terminal(settings: Settings, house: House, port: int) -> NacClient:
    own, nac = settings.terminals[0], settings.host.nac
    terminal = NacTerminal(own.tid, own.mid, nac.nii, totals_digits=nac.totals_digits)
    terminal.mac_key, terminal.keying = _mac_key(settings, house), _keying(settings)
    terminal.codec = Codec(nac_spec(pad=VariablePad(nac.pad), ascii_wire=nac.wire == "ascii"))
    tpdu = bytes.fromhex(settings.host.tpdu)
    return NacClient(terminal, LOOPBACK, port, timeout_s=TERMINAL_TIMEOUT_S, tpdu=tpdu)


def _money(amount: str, card: str = CARD, **more: object) -> dict[str, object]:
    return {"card": card, "expiry": EXPIRY, "amount": amount, "entry": "022", **more}


def _given(name: str, title: str, title_zh: str, do: str, step: dict[str, object], **wants: Any) -> Step:
    return Step(name, title, title_zh, lambda _: {"do": do, **step}, **wants)


def _of(name: str, title: str, title_zh: str, do: str, original: str, **more: object) -> Step:
    """What refers to an earlier one by its trace."""
    return Step(name, title, title_zh, lambda seen: {"do": do, "of_stan": seen[original]["stan"], **more})


def _first_batch(settings: Settings) -> list[Step]:
    trusted = _signs(settings) or settings.terminals[0].unsigned == "accept"
    needs_trust: dict[str, Any] = (
        {"wants": (APPROVED,)} if trusted else {"wants": (DECLINED,), "code": UNSIGNED_REFUSED}
    )
    return [
        Step("logon", "a terminal logs on", "终端签到", lambda _: {"do": "logon"}),
        Step("echo", "an echo", "回响测试", lambda _: {"do": "echo"}),
        _given("sale", "a swiped sale", "刷卡消费", "sale", _money("12.34")),
        _given("typed", "a typed sale", "手输卡号消费", "sale", _money("20.00", entry="012"), **needs_trust),
        _given("tip_sale", "a sale with a tip in it", "含小费消费", "sale", _money("10.00", OTHER, tip="1.00")),
        Step("repeat", "the same request again, answered from the journal", "重复请求由流水应答", _again),
        _given("declined", "a decline", "拒绝交易", "sale", _money("5.00", POOR), wants=(DECLINED,), code="51"),
        _of("void", "the sale is voided", "消费撤销", "void", "sale"),
        _given("refund", "a refund", "退货", "refund", _money("5.00"), **needs_trust),
        *([_of("refund_void", "the refund is voided", "退货撤销", "void", "refund")] if trusted else []),
        _given("preauth", "a pre-authorisation", "预授权", "preauth", _money("100.00")),
        Step("complete", "it is completed", "预授权完成", _completion, **needs_trust),
        _given("offline", "an offline sale", "离线结算", "offline_sale", _money("30.00", approval="654321")),
        _given(
            "agreed",
            "an offline sale by telephone",
            "电话授权离线结算",
            "offline_sale",
            _money("32.00", approval="654322"),
        ),
        _of("void_notice", "it is voided by advice", "撤销通知", "adjust", "agreed", amount="0.00"),
        _of("adjust", "it is adjusted", "结算调整", "adjust", "offline", amount="31.00"),
        _of("tip", "a tip", "小费", "tip", "tip_sale", tip="0.50"),
        _given("chip_sale", "a chip sale", "IC 卡消费", "sale", _money("22.00", entry="051")),
        _of("certificate", "its certificate", "TC 上送", "tc", "chip_sale"),
        _failed("lost", "an answer is lost: failed here, reversed there", "应答丢失，自动冲正", LOST),
        _failed("cut", "the line is cut: failed here, reversed there", "断线，自动冲正", CUT),
        _given("next_sale", "sales go on after the reversals", "冲正后继续交易", "sale", _money("23.00")),
        _settle(settings, "settle", "the terminal settles, and posd with the host", "批结算"),
    ]


def _failed(name: str, title: str, title_zh: str, amount: str) -> Step:
    return _given(name, title, title_zh, "sale", _money(amount), wants=(DECLINED,), code="91")


def _next_batch(settings: Settings, name: str) -> list[Step]:
    titles = {
        "second": ("code 95: the batch is uploaded", "应答 95，批上送"),
        "third": ("77 after the upload: out of balance", "上送后应答 77，账不平"),
    }
    return [
        _given(f"{name}_sale", "a sale of the next batch", "次批消费", "sale", _money("42.00")),
        _given(f"{name}_odd_sale", "and one of another card", "次批另一卡消费", "sale", _money("43.00", OTHER)),
        _settle(settings, f"{name}_settle", *titles[name]),
    ]


def _settle(settings: Settings, name: str, title: str, title_zh: str) -> Step:
    """Its own totals agree with posd's books of its batch, except where the host credits voids: it leaves them out."""
    credited = settings.host.nac.voids == "credited"
    wants = ("balanced", "closed", "out_of_balance") if credited else ("balanced",)
    return Step(name, title, title_zh, lambda _: {"do": "settle"}, wants=wants)


def _completion(seen: Seen) -> dict[str, object]:
    return {"do": "complete", "of_stan": seen["preauth"]["stan"], "amount": "80.00"}


def _again(seen: Seen) -> dict[str, object]:
    return {"do": "repeat", "stan": seen["sale"]["stan"]}
