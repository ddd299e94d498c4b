"""How this terminal reads an answer: log, keys, batch, and the result line of a step (reference 1.4 to 1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posd.iso8583.message import Message
from simulators.chip import SCRIPTS, read_55
from simulators.crypto import BLOCK_BYTES, open_key_block
from simulators.fields import GROUP_DIGITS, Field60, Field61, Unreadable
from simulators.host.kinds import MATRIX, Kind
from simulators.terminal.logbook import Logged, Sent

if TYPE_CHECKING:
    from simulators.terminal.core import Terminal

APPROVED_CODES = frozenset({"00", "10", "11", "A2", "A4", "A5", "A6"})
FINANCIAL = frozenset({"0100", "0200", "0220"})
DOMESTIC_SCHEME = "CUP"
ALREADY_KNOWN = "94"


def take(terminal: Terminal, sent: Sent, answer: Message, body: bytes) -> dict[str, object]:
    """Read the answer of a request; the result as JSON-ready values without card data."""
    result = terminal.result(sent, "declined")
    result |= {"code": answer.get(39), "rrn": answer.get(37)}
    if not _mac_fits(terminal, sent, answer, body):
        return result | {"outcome": "bad_mac"}
    match sent.do:
        case "sign_in" if answer.get(39) == "00":
            return result | _signed_in(terminal, answer)
        case "settle":
            return result | _settled(terminal, answer)
        case "settle_end" if answer.get(39) == "00":
            terminal.next_batch()
        case "reverse" | "chip_refusal" if answer.get(39) == "00":
            _reversed(terminal, terminal.log[sent.stan])
        case "script_result" if answer.get(39) == "00":
            terminal.original(Field61.parse(sent.message.get(61))).script = "reported"
        case _ if _logs(terminal, sent) and answer.get(39) in APPROVED_CODES:
            result |= _approved(terminal, terminal.log[sent.stan], answer)
        case _ if _known_advice(terminal, sent, answer):
            result["outcome"] = "already_known"
        case _:
            pass
    if sent.message.mti in ("0800", "0820") and sent.do != "sign_in" and answer.get(62) is not None:
        result["block"] = answer.get(62)
    if answer.get(54) is not None:
        result["balances"] = answer.get(54)
    if answer.get(4) is not None:
        result["amount"] = int(answer.get(4) or "0")
    return result | ({"outcome": "approved"} if answer.get(39) in APPROVED_CODES else {})


def _logs(terminal: Terminal, sent: Sent) -> bool:
    return sent.message.mti in FINANCIAL and sent.stan in terminal.log


def _known_advice(terminal: Terminal, sent: Sent, answer: Message) -> bool:
    logged = terminal.log.get(sent.stan)
    return answer.get(39) == ALREADY_KNOWN and logged is not None and MATRIX[logged.kind].advice


def _reversed(terminal: Terminal, logged: Logged) -> None:
    """Taken back; a hold is one no more."""
    logged.approved = False
    terminal.holds.pop((logged.batch, logged.sent.stan), None)


def _signed_in(terminal: Terminal, answer: Message) -> dict[str, object]:
    terminal.batch = Field60.parse(answer.get(60)).batch
    terminal.today = terminal.today[:2] + (answer.get(13) or terminal.today[2:])
    if terminal.tmk is None:
        return {"outcome": "approved", "batch": terminal.batch}
    try:
        block, double = bytes.fromhex(answer.get(62) or ""), terminal.keying.mak == "double"
        terminal.keys = open_key_block(terminal.tmk, block, terminal.sign_in_code, double_mak=double)
    except ValueError as trouble:
        return {"outcome": "bad_keys", "why": str(trouble)}
    return {"outcome": "approved", "batch": terminal.batch}


def _settled(terminal: Terminal, answer: Message) -> dict[str, object]:
    text = answer.get(48) or ""
    if answer.get(39) not in (None, "00") or len(text) < terminal.totals_groups * GROUP_DIGITS:
        return {"outcome": "declined"}
    terminal.settled_groups = (text[30] == "1", text[30 if terminal.totals_groups == 1 else 61] == "1")
    return {"outcome": "balanced" if all(terminal.settled_groups) else "unbalanced"}


def _approved(terminal: Terminal, logged: Logged, answer: Message) -> dict[str, object]:
    """Log an approval; what a script asks for is owed from now on."""
    logged.approved, logged.rrn, logged.approval = True, answer.get(37), answer.get(38)
    logged.amount_minor, logged.date = int(answer.get(4) or "0"), answer.get(13)
    logged.foreign = (answer.get(63) or DOMESTIC_SCHEME)[:3] != DOMESTIC_SCHEME
    if logged.kind is Kind.PREAUTH:
        terminal.holds[logged.batch, logged.sent.stan] = logged
    said: dict[str, object] = {"approval": logged.approval} if logged.approval else {}
    try:
        tags = read_55(answer.get(55)) if answer.get(55) else {}
    except Unreadable:
        return said | {"bad_chip_answer": True}
    if any(tag in tags for tag in SCRIPTS):
        logged.script = "owed"
        said["script"] = True
    return said | ({"issuer_authentication": True} if "91" in tags else {})


def _mac_fits(terminal: Terminal, sent: Sent, answer: Message, body: bytes) -> bool:
    """A MAC that is there must be right; approvals of MAC'd requests must have one."""
    if answer.get(64) is None:
        return sent.message.get(64) is None or answer.get(39) not in APPROVED_CODES
    keys, keying = terminal.keys, terminal.keying
    return keys is None or keying.mac(keys.mak, body[:-BLOCK_BYTES]) == body[-BLOCK_BYTES:]
