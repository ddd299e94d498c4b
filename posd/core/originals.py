"""What a request refers to: which earlier transaction it means, whether that stands, and what has become of it since.

Which kind may refer to which is data of the dialect (rules.OriginalRules); here is what follows from it. Pure questions
of a state.

- A transaction is used once: a sale by its void, a pre-authorisation by its completion or its void. What used it stands
  until it was declined, reversed, or taken back itself: a completion that was voided leaves the pre-authorisation open
  again. Refunds may share one sale until its amount is used up.
- What we know is checked; what we do not know (another day, another terminal) goes to the host as the terminal names
  it, if its kind may refer to such. A till names by our own id: that has to be known.
"""

from collections.abc import Iterator

from posd.core.effects import Refusal
from posd.core.events import OriginalPointer, TransactionRequested
from posd.core.rules import OriginalRules, Rules
from posd.core.state import State, Transaction, TxnStatus
from posd.values import BATCH_NUMBER_MAX, RequestId, format_amount

Refused = tuple[Refusal, str]

ADVISED = frozenset({TxnStatus.STORED, TxnStatus.REFUSED})
"""An advice that the host does not have, yet or for good, and that counts all the same."""

STANDING = ADVISED | {TxnStatus.SENT, TxnStatus.APPROVED, TxnStatus.UNKNOWN, TxnStatus.IN_DOUBT}
"""It has used its original, or may have."""


def named(state: State, rules: Rules, event: TransactionRequested) -> Transaction | None:
    """The transaction that is meant, newest first; None: it names none, or none that we know."""
    wanted, pointer = rules.kinds[event.kind].original, event.original
    if wanted is None or pointer is None:
        return None
    found = _found(state, wanted, event, pointer)
    if found is None:
        return None
    later = newest(state, rules, found)
    return later if wanted.replaces or later.kind in wanted.kinds else found


def newest(state: State, rules: Rules, txn: Transaction) -> Transaction:
    """What counts in its place by now: an adjustment may be adjusted again. What voided it does not count."""
    while txn.replaced_by is not None and (later := state.find(txn.replaced_by)) is not None:
        if not rules.kinds[later.kind].replaces:
            break
        txn = later
    return txn


def root_of(state: State, rules: Rules, txn: Transaction | None) -> Transaction | None:
    """What an adjustment adjusts at first; of anything else, itself."""
    while txn is not None and rules.kinds[txn.kind].replaces:
        txn = state.find(txn.original) if txn.original is not None else None
    return txn


def _found(
    state: State, wanted: OriginalRules, event: TransactionRequested, pointer: OriginalPointer
) -> Transaction | None:
    if pointer.request_id is not None:
        known = state.find(pointer.request_id)
        return known if known is not None and known.kind in wanted.kinds else None
    every = state.transactions.values() if wanted.known else (*state.closed.values(), *state.transactions.values())
    fitting = (txn for txn in reversed(tuple(every)) if txn.kind in wanted.kinds)
    return next((txn for txn in fitting if _is_named(txn, pointer, event)), None)


def _is_named(txn: Transaction, pointer: OriginalPointer, event: TransactionRequested) -> bool:
    """By every name that is given: the terminal's own batch and trace, the RRN, or approval code, date and card."""
    facts = txn.facts
    by_trace, by_rrn = pointer.terminal_stan is not None, pointer.rrn is not None
    if by_trace and (txn.terminal_batch, txn.terminal_stan) != (pointer.terminal_batch, pointer.terminal_stan):
        return False
    if by_rrn and (facts is None or facts.rrn != pointer.rrn):
        return False
    if pointer.approval_code is not None and facts is not None and facts.approval_code != pointer.approval_code:
        return False
    if pointer.invoice is not None and txn.invoice != pointer.invoice:
        return False
    if by_trace or by_rrn or pointer.invoice is not None:
        return True
    same_day = facts is not None and pointer.date in (None, facts.host_date)
    same_card = txn.card is not None and event.card is not None and txn.card.digest == event.card.digest
    return pointer.approval_code is not None and same_day and same_card


def terminal_batch(state: State, rules: Rules, told: int) -> int:
    """The terminal's own batch: as it is told, or the one after that of its last close; 0 before it ever closed one."""
    if rules.terminal_tells_batch or state.terminal_upload is None:
        return told
    return state.terminal_upload.terminal_batch % BATCH_NUMBER_MAX + 1


def closed_by_terminal(state: State, rules: Rules, txn: Transaction) -> bool:
    """Its terminal has closed the batch of this since: it neither repeats it nor takes it back any more (D6, D25).

    A terminal that does so all the same has been reset or replaced, and counts from 1 again: it means another request.
    What tells its batch does not come here under the number of an old one.
    """
    counted = bool(txn.terminal_stan) and not rules.terminal_tells_batch
    return counted and txn.terminal_batch != terminal_batch(state, rules, txn.terminal_batch)


def repeat_is_over(state: State, rules: Rules, txn: Transaction, now_ms: int) -> bool:
    """A request under this number is another one: nothing of a closed batch is told as its outcome (D6)."""
    if closed_by_terminal(state, rules, txn):
        return True
    counted = bool(txn.terminal_stan) and not rules.terminal_tells_batch
    late = now_ms - txn.at_ms > rules.repeats_within_s * 1000
    return counted and late and txn.request_id in state.closed


def refusal(state: State, rules: Rules, event: TransactionRequested, original: Transaction | None) -> Refused | None:
    """Why this request must not leave, for what it refers to; None: it may."""
    wanted = rules.kinds[event.kind].original
    if wanted is None:
        return None
    if wanted.reports:
        return _not_there(wanted) if original is None else None
    if original is None:
        by_id = event.original is not None and event.original.request_id is not None
        return _not_there(wanted) if wanted.known or by_id else None
    in_open_batch = original.request_id in state.transactions
    if original.status not in (TxnStatus.APPROVED, TxnStatus.STORED) or (wanted.known and not in_open_batch):
        return _not_there(wanted)
    if original.status is TxnStatus.STORED and not rules.kinds[event.kind].advice:
        return Refusal.NOT_SENT, f"the {original.kind} that it refers to has not reached the host yet"
    return _used(state, rules, wanted, original) or _unlike(state, event, wanted, original)


def _not_there(wanted: OriginalRules) -> Refused:
    what = " or ".join(sorted(kind.value for kind in wanted.kinds))
    where = "of the open batch" if wanted.known else "of that name"
    return Refusal.NO_ORIGINAL, f"there is no approved {what} {where} to refer to"


def _used(state: State, rules: Rules, wanted: OriginalRules, original: Transaction) -> Refused | None:
    for user in users_of(state, rules, original.request_id):
        if rules.kinds[user.kind].takes_back:
            return Refusal.ALREADY_VOIDED, f"this {original.kind} was voided already"
        if not (wanted.shared and user.kind in _sharing(rules)):
            return Refusal.ALREADY_USED, f"this {original.kind} has a {user.kind} already"
    return None


def _sharing(rules: Rules) -> list[str]:
    return [kind for kind, row in rules.kinds.items() if row.original is not None and row.original.shared]


def _unlike(state: State, event: TransactionRequested, wanted: OriginalRules, original: Transaction) -> Refused | None:
    """Amount and card against the original's."""
    of_minor = original.counted_minor
    if wanted.shared:
        left = of_minor - _given_minor(state, original.request_id, event)
        if event.amount_minor > left:
            return Refusal.AMOUNT_DIFFERS, f"of this {original.kind} {format_amount(left)} is left to give back"
    elif not _fits(event.amount_minor * 100, of_minor, wanted):
        return Refusal.AMOUNT_DIFFERS, f"the amount does not fit that of the {original.kind}"
    if original.card and event.card and original.card.digest != event.card.digest:
        return Refusal.CARD_DIFFERS, f"the card is not that of the {original.kind}"
    return None


def _fits(hundredfold: int, of_minor: int, wanted: OriginalRules) -> bool:
    if hundredfold < of_minor * wanted.percent_min:
        return False
    return wanted.percent_max is None or hundredfold <= of_minor * wanted.percent_max


def _given_minor(state: State, of: RequestId, event: TransactionRequested) -> int:
    """What others of its kind have given back of the same original, or may have."""
    every = (*state.closed.values(), *state.transactions.values())
    given = (txn for txn in every if txn.kind is event.kind and txn.original == of)
    return sum(txn.counted_minor for txn in given if txn.status in STANDING)


def users_of(state: State, rules: Rules, of: RequestId) -> Iterator[Transaction]:
    """What has used this transaction, or may have: its void, its completion, its adjustment, its refunds."""
    for txn in (*state.transactions.values(), *state.closed.values()):
        if txn.original != of or _only_reports(rules, txn):
            continue
        if txn.status in STANDING and not _is_taken_back(state, rules, txn.request_id):
            yield txn


def _only_reports(rules: Rules, txn: Transaction) -> bool:
    kind = rules.kinds[txn.kind].original
    return kind is not None and kind.reports


def _is_taken_back(state: State, rules: Rules, of: RequestId) -> bool:
    """For certain: only an approved void frees what its original had used."""
    return any(
        rules.kinds[user.kind].takes_back and user.status is TxnStatus.APPROVED for user in users_of(state, rules, of)
    )
