"""The other kinds of 1.8 as this terminal says them: holds, completions, advices, electronic cash, notices.

Pure functions over a terminal: each builds one request and logs it. KeyError: the log has no such original.
"""

from simulators.chip import AAC, Tags
from simulators.fields import Field61
from simulators.host.kinds import Kind
from simulators.terminal.chip_card import SCRIPT_DONE, Chip, in_notice
from simulators.terminal.core import CURRENCY, DOMESTIC_SCHEME, NO_TRACK_53, CardInHand, Logged, Sent, Terminal

POS_HOLD = "00"
"""Field 61: the original was authorised by a terminal (1.4)."""

REFUSED_BY_CARD, ISSUER_UNPROVEN = "11", "05"
REASON_REFUSED = "96"
TYPED, CHIP = "012", "051"


def preauth(terminal: Terminal, card: CardInHand, amount_minor: int) -> Sent:
    return terminal.financial("preauth", Kind.PREAUTH, card, {4: _amount(amount_minor)})


def preauth_void(terminal: Terminal, of_stan: int, of_batch: int | None = None) -> Sent:
    """Release a hold, of whichever batch."""
    hold = _of(terminal, of_stan, of_batch)
    return _by_code(terminal, "preauth_void", Kind.PREAUTH_VOID, hold, hold.amount_minor)


def complete(terminal: Terminal, of_stan: int, amount_minor: int | None = None, of_batch: int | None = None) -> Sent:
    """Capture a hold; without an amount the whole of it."""
    hold = _of(terminal, of_stan, of_batch)
    amount = hold.amount_minor if amount_minor is None else amount_minor
    return _by_code(terminal, "complete", Kind.COMPLETION, hold, amount)


def complete_notice(
    terminal: Terminal, of_stan: int, amount_minor: int | None = None, of_batch: int | None = None
) -> Sent:
    """Capture a hold by an advice."""
    hold = _of(terminal, of_stan, of_batch)
    amount = hold.amount_minor if amount_minor is None else amount_minor
    more = {4: _amount(amount), 38: hold.approval, 61: _named(hold)}
    return terminal.financial("complete_notice", Kind.COMPLETION_NOTICE, CardInHand(hold.pan, "", TYPED), more)


def complete_void(terminal: Terminal, of_stan: int) -> Sent:
    """Take a completion of this batch back; its hold is there again."""
    done = terminal.log[of_stan]
    return _by_code(terminal, "complete_void", Kind.COMPLETION_VOID, done, done.amount_minor, {37: done.rrn})


def offline_sale(terminal: Terminal, card: CardInHand, amount_minor: int, approval: str | None = None) -> Sent:
    """A sale that was agreed by telephone: `approval` is the code that was told."""
    return terminal.financial("offline_sale", Kind.OFFLINE_SALE, card, {4: _amount(amount_minor), 38: approval})


def adjust(terminal: Terminal, of_stan: int, amount_minor: int) -> Sent:
    """Another amount for an offline sale of this batch."""
    return _instead(terminal, "adjust", Kind.ADJUST, of_stan, amount_minor)


def tip(terminal: Terminal, of_stan: int, amount_minor: int) -> Sent:
    """The amount with the tip for a sale of this batch."""
    return _instead(terminal, "tip", Kind.TIP, of_stan, amount_minor)


def ec_sale(terminal: Terminal, card: CardInHand, amount_minor: int) -> Sent:
    """Electronic cash, spent without the host: uploaded with the card's TC."""
    return terminal.financial("ec_sale", Kind.EC_SALE, card, {4: _amount(amount_minor), 63: DOMESTIC_SCHEME})


def ec_refund(terminal: Terminal, card: CardInHand, amount_minor: int, of_stan: int, of_batch: int, date: str) -> Sent:
    """Give back an offline sale of electronic cash: `date` is MMDD."""
    more: dict[int, str | None] = {4: _amount(amount_minor), 61: Field61(of_batch, of_stan, date).format()}
    return terminal.financial("ec_refund", Kind.EC_REFUND, card, more)


def ec_load(terminal: Terminal, kind: Kind, card: CardInHand, amount_minor: int) -> Sent:
    """Load the purse: from the card's own account, another one, or cash."""
    return terminal.financial(kind.value, kind, card, {4: _amount(amount_minor)})


def ec_cash_load_void(terminal: Terminal, of_stan: int) -> Sent:
    load = terminal.log[of_stan]
    more = {4: _amount(load.amount_minor), 37: load.rrn, 38: load.approval}
    more[61] = Field61(terminal.batch, of_stan).format()
    card = CardInHand(load.pan, "", TYPED)
    return terminal.financial("ec_cash_load_void", Kind.EC_CASH_LOAD_VOID, card, more)


def chip_refusal(terminal: Terminal, stan: int) -> Sent:
    """The card refused what the host approved: reversed with 96, uploaded as failed (1.7 type 6, 1.10)."""
    refused = terminal.log[stan]
    chip = Chip(refused.pan, stan, refused.amount_minor, terminal.today)
    refused.tags = {**(refused.tags or {}), **chip.final(AAC)}
    sent = terminal.reverse(stan, REASON_REFUSED)
    refused.failed = REFUSED_BY_CARD
    return Sent("chip_refusal", sent.message, sent.body)


def issuer_unproven(terminal: Terminal, stan: int) -> None:
    """The card took the approval although the issuer's authentication failed: uploaded as failed."""
    terminal.log[stan].failed = ISSUER_UNPROVEN


def script_result(terminal: Terminal, of_stan: int, result: str = SCRIPT_DONE, of_batch: int | None = None) -> Sent:
    """The 0620 for a transaction whose answer brought issuer scripts; `result` is tag DF31 in hex."""
    done = _of(terminal, of_stan, of_batch)
    said = done.sent.message
    tags: Tags = done.tags or {}
    kept = {number: said.get(number) for number in (2, 3, 4, 22, 23, 25)}
    more = {37: done.rrn, 38: done.approval, 49: CURRENCY, 55: in_notice(tags, result), 61: _named(done)}
    return terminal.notice("script_result", kept | more)


def _by_code(
    terminal: Terminal,
    do: str,
    kind: Kind,
    original: Logged,
    amount_minor: int,
    more: dict[int, str | None] | None = None,
) -> Sent:
    """A kind that is known by the approval code of its original (field 38)."""
    fields: dict[int, str | None] = {4: _amount(amount_minor), 38: original.approval, 53: NO_TRACK_53}
    fields |= {61: _named(original)} | (more or {})
    return terminal.financial(do, kind, CardInHand(original.pan, "", TYPED), fields)


def _instead(terminal: Terminal, do: str, kind: Kind, of_stan: int, amount_minor: int) -> Sent:
    """Of the first, always: what took its place before is replaced too."""
    original = terminal.log[of_stan]
    fields = {4: _amount(amount_minor), 37: original.rrn, 38: original.approval}
    fields[61] = Field61(original.batch, of_stan).format()
    original.replaced = True
    for change in terminal.changes(of_stan):
        change.replaced = True
    sent = terminal.financial(do, kind, CardInHand(original.pan, "", TYPED), fields)
    terminal.log[sent.stan].foreign = original.foreign
    return sent


def not_taken(terminal: Terminal, stan: int) -> None:
    """An adjustment or tip was refused at once: what was there before it counts again."""
    refused = terminal.log[stan]
    refused.approved = False
    of_stan = Field61.parse(refused.sent.message.get(61)).stan
    earlier = terminal.changes(of_stan)
    (earlier[-1] if earlier else terminal.log[of_stan]).replaced = False


def _of(terminal: Terminal, stan: int, batch: int | None) -> Logged:
    return terminal.original(Field61(terminal.batch if batch is None else batch, stan))


def _named(original: Logged) -> str:
    """Field 61: batch, trace, day of the original, and that a terminal authorised it."""
    return Field61(original.batch, original.sent.stan, original.date or "0000", POS_HOLD).format()


def _amount(amount_minor: int) -> str:
    return f"{amount_minor:012d}"
