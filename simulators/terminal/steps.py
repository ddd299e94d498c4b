"""The steps by their names: what each needs, and the request that it makes. Data and small functions.

An unknown name gives None; KeyError, ValueError and TypeError say that a step lacks something.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from simulators.host.kinds import Kind
from simulators.host.settings import minor_units
from simulators.terminal import matrix
from simulators.terminal.chip_card import SCRIPT_DONE
from simulators.terminal.core import CardInHand, Sent, Terminal

Step = Mapping[str, object]
Build = Callable[[Terminal, Step], Sent]
MONEY = "card, expiry, amount"
OF_HOLD = "of_stan [, of_batch] [, amount]"


class Made(NamedTuple):
    """How a step is built, and its arguments for --help."""

    build: Build
    needs: str
    about: str


def build(terminal: Terminal, step: Step) -> Sent | None:
    """The request of a step, logged in the terminal; None: no such step."""
    made = STEPS.get(str(step.get("do")))
    return made.build(terminal, step) if made is not None else None


def listing() -> str:
    """Every step with its arguments, aligned, for --help."""
    rows = [(name, made.needs, made.about) for name, made in STEPS.items()] + list(OTHERS)
    name_width, needs_width = (max(len(row[at]) for row in rows) for at in (0, 1))
    return "\n".join(f"  {name:<{name_width}}  {needs:<{needs_width}}  {about}" for name, needs, about in rows)


def _card(step: Step, entry: str | None = None) -> CardInHand:
    pin = step.get("pin")
    mode = str(step.get("entry") or entry or ("021" if pin else "022"))
    card = CardInHand(str(step["card"]), str(step["expiry"]), mode, None if pin is None else str(pin))
    return card if step.get("sequence") is None else _with_sequence(card, str(step["sequence"]))


def _with_sequence(card: CardInHand, sequence: str) -> CardInHand:
    return CardInHand(card.pan, card.expiry, card.entry, card.pin, sequence)


def _amount(step: Step) -> int:
    """'12.34' in the step is 1234; a number is minor units already."""
    value = minor_units(step["amount"])
    if not isinstance(value, int):
        raise ValueError("amount")
    return value


def _maybe_amount(step: Step) -> int | None:
    return None if step.get("amount") is None else _amount(step)


def _number(step: Step, name: str) -> int:
    return int(str(step[name]))


def _of_batch(step: Step) -> int | None:
    return None if step.get("of_batch") is None else _number(step, "of_batch")


def _stan(step: Step) -> int:
    return _number(step, "of_stan")


def _load(kind: Kind) -> Build:
    return lambda terminal, step: matrix.ec_load(terminal, kind, _card(step, matrix.CHIP), _amount(step))


def _refund(terminal: Terminal, step: Step) -> Sent:
    return terminal.refund(_card(step), _amount(step), str(step["rrn"]), str(step["date"]))


def _offline(terminal: Terminal, step: Step) -> Sent:
    approval = step.get("approval")
    card = _card(step, matrix.TYPED)
    return matrix.offline_sale(terminal, card, _amount(step), None if approval is None else str(approval))


def _ec_refund(terminal: Terminal, step: Step) -> Sent:
    of_batch = _of_batch(step)
    batch = terminal.batch if of_batch is None else of_batch
    return matrix.ec_refund(terminal, _card(step, matrix.TYPED), _amount(step), _stan(step), batch, str(step["date"]))


def _script_result(terminal: Terminal, step: Step) -> Sent:
    result = str(step.get("result") or SCRIPT_DONE)
    return matrix.script_result(terminal, _stan(step), result, _of_batch(step))


def _download(mti: str, code: str) -> Build:
    def made(terminal: Terminal, step: Step) -> Sent:
        block = bytes.fromhex(str(step.get("hex") or ""))
        return terminal.download(str(step["do"]), mti, code, block)

    return made


STEPS: dict[str, Made] = {
    "sign_in": Made(lambda t, s: t.sign_in(), "", "0800: new keys, the host's batch number"),
    "sign_off": Made(lambda t, s: t.sign_off(), "", "0820/002"),
    "echo": Made(lambda t, s: t.echo(), "", "0820/301"),
    "sale": Made(lambda t, s: t.sale(_card(s), _amount(s)), MONEY, "entry 051 or 071: a chip, with fields 23 and 55"),
    "balance": Made(lambda t, s: t.balance(_card(s)), "card, expiry", "balance inquiry"),
    "void": Made(lambda t, s: t.void(_stan(s)), "of_stan", "void a sale of this batch"),
    "refund": Made(_refund, f"{MONEY}, rrn, date", "refund; date MMDD of the sale"),
    "preauth": Made(lambda t, s: matrix.preauth(t, _card(s), _amount(s)), MONEY, "0100: hold money"),
    "preauth_void": Made(
        lambda t, s: matrix.preauth_void(t, _stan(s), _of_batch(s)), "of_stan [, of_batch]", "release a hold"
    ),
    "complete": Made(
        lambda t, s: matrix.complete(t, _stan(s), _maybe_amount(s), _of_batch(s)), OF_HOLD, "capture a hold, online"
    ),
    "complete_notice": Made(
        lambda t, s: matrix.complete_notice(t, _stan(s), _maybe_amount(s), _of_batch(s)),
        OF_HOLD,
        "capture a hold by an advice (0220)",
    ),
    "complete_void": Made(lambda t, s: matrix.complete_void(t, _stan(s)), "of_stan", "take a completion back"),
    "offline_sale": Made(_offline, f"{MONEY} [, approval]", "0220: agreed by telephone"),
    "adjust": Made(
        lambda t, s: matrix.adjust(t, _stan(s), _amount(s)), "of_stan, amount", "0220: an offline sale's new amount"
    ),
    "tip": Made(
        lambda t, s: matrix.tip(t, _stan(s), _amount(s)), "of_stan, amount", "0220: a sale's amount with its tip"
    ),
    "ec_sale": Made(
        lambda t, s: matrix.ec_sale(t, _card(s, matrix.CHIP), _amount(s)), MONEY, "0200/36: electronic cash, offline"
    ),
    "ec_refund": Made(_ec_refund, f"{MONEY}, of_stan, date [, of_batch]", "0220/27: of an ec_sale"),
    "ec_load": Made(_load(Kind.EC_LOAD), MONEY, "load the purse from its own account"),
    "ec_transfer_load": Made(_load(Kind.EC_TRANSFER_LOAD), MONEY, "load the purse from another account"),
    "ec_cash_load": Made(_load(Kind.EC_CASH_LOAD), MONEY, "load the purse with cash"),
    "ec_cash_load_void": Made(lambda t, s: matrix.ec_cash_load_void(t, _stan(s)), "of_stan", "take cash back out"),
    "chip_refusal": Made(
        lambda t, s: matrix.chip_refusal(t, _stan(s)), "of_stan", "0400/96: the card refused after the approval"
    ),
    "script_result": Made(_script_result, "of_stan [, result] [, of_batch]", "0620/951; result: tag DF31 in hex"),
    "reverse": Made(
        lambda t, s: t.reverse(_number(s, "stan"), str(s.get("reason") or "98")), "stan [, reason]", "0400"
    ),
    "parameters": Made(_download("0800", "360"), "", "download parameters"),
    "status": Made(_download("0820", "362"), "hex", "upload them: tags of 1.14 in hex"),
    "ca_keys": Made(_download("0820", "372"), "", "which CA keys there are"),
    "ca_key": Made(_download("0800", "370"), "hex", "one of them, by 9F06 and 9F22"),
    "ca_end": Made(_download("0800", "371"), "", "all CA keys are there"),
    "ic_parameters": Made(_download("0820", "382"), "", "which IC parameters there are"),
    "ic_parameter": Made(_download("0800", "380"), "hex", "one of them, by 9F06"),
    "ic_end": Made(_download("0800", "381"), "", "all IC parameters are there"),
    "totals": Made(lambda t, s: t.settle(), "", "the 0500 alone"),
    "settle_end": Made(lambda t, s: t.end(), "", "the end message alone"),
}
OTHERS = (
    ("settle", "", "script results, 0500, the batch upload, the end message"),
    ("repeat", "stan", "the same bytes once more"),
    ("issuer_unproven", "of_stan", "the chip took it, ARPC wrong: uploaded as failed; sends nothing"),
    ("wait_s", "s", "do nothing for so long"),
    ("reconnect", "", "cut the line and connect again"),
    ("raw", "hex", "bytes as they are"),
)
"""Steps that are no single request: client.py makes them."""
