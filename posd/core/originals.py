"""What a request refers to: which earlier transaction it means, whether that stands, and what has become of it since.

Which kind may refer to which is data of the dialect (rules.OriginalRules); here is what follows from it. Pure questions
of a state.

- A transaction is used once: a sale by its void, a pre-authorisation by its completion or its void. What used it stands
  until it was declined, reversed, or taken back itself: a completion that was voided leaves the pre-authorisation open
  again. When that is completed again, the void must stand. Refunds may share one sale until its amount is used up.
- What was adjusted, or has a tip, is meant as it counts by now, whoever names it: a void takes the whole of it back,
  refunds give up to it, and a later tip or adjustment takes the place of the one before, upwards or downwards, while
  the batch is open. Towards the host each of them names the first: the sale.
- A tip has a ceiling, a part of what was sold (`Rules.tip_percent_max`), and goes down to nothing, not below the sale.
  An adjustment that is no tip corrects an amount: it has none.
- An adjustment that the host refused may be corrected. It is in the way of a void, for the two books differ by it; a
  refund goes by what the host has.
- What we know is checked; what we do not know (another day, another terminal) goes to the host as the terminal names
  it, if its kind may refer to such. A till names by our own id: that has to be known.
"""

from collections.abc import Iterator

from posd.core.effects import Refusal
from posd.core.events import OriginalPointer, TransactionRequested
from posd.core.rules import OriginalRules, Rules
from posd.core.state import State, Transaction, TxnStatus
from posd.values import BATCH_NUMBER_MAX, Minor, RequestId, format_amount

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
    return found if found is None or wanted.reports else newest(state, rules, found)


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
        txn = _before(state, txn)
    return txn


def at_host(state: State, rules: Rules, txn: Transaction) -> Transaction:
    """What counts in its place at the host: an adjustment that it refused, or was not given yet, changes nothing."""
    while rules.kinds[txn.kind].replaces and txn.status is not TxnStatus.APPROVED:
        if (before := _before(state, txn)) is None:
            break
        txn = before
    return txn


def referred(state: State, rules: Rules, event: TransactionRequested, newest: Transaction) -> Transaction:
    """What a request that may leave refers to, of what counts by now: what gives back, to what the host has of it."""
    wanted = rules.kinds[event.kind].original
    return at_host(state, rules, newest) if wanted is not None and wanted.shared else newest


def without_tips(state: State, rules: Rules, txn: Transaction) -> Transaction:
    """What it was before any tip."""
    while rules.kinds[txn.kind].tips and (before := _before(state, txn)) is not None:
        txn = before
    return txn


def _before(state: State, txn: Transaction) -> Transaction | None:
    return state.find(txn.original) if txn.original is not None else None


def _is_refused_change(rules: Rules, txn: Transaction) -> bool:
    return txn.status is TxnStatus.REFUSED and rules.kinds[txn.kind].replaces


def _found(
    state: State, wanted: OriginalRules, event: TransactionRequested, pointer: OriginalPointer
) -> Transaction | None:
    if pointer.request_id is not None:
        known = state.find(pointer.request_id)
        return known if known is not None and known.kind in wanted.kinds else None
    every = state.transactions.values() if wanted.known else (*state.closed.values(), *state.transactions.values())
    fitting = (txn for txn in reversed(tuple(every)) if txn.kind in wanted.kinds and not _is_settled_apart(wanted, txn))
    return next((txn for txn in fitting if _is_named(txn, pointer, event)), None)


def _is_settled_apart(wanted: OriginalRules, txn: Transaction) -> bool:
    """People ended its reversal: the customer may have paid. Whether there is anything to give back, the host knows."""
    return wanted.shared and txn.status is TxnStatus.RESOLVED


def _is_named(txn: Transaction, pointer: OriginalPointer, event: TransactionRequested) -> bool:
    """By every name that is given: the terminal's own batch and trace, the RRN, or approval code, date and card.

    What may be of another day is named with its date: an RRN with it is only that of this card on that day.
    """
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
    if by_trace or pointer.invoice is not None or (by_rrn and pointer.date is None):
        return True
    same_day = facts is not None and pointer.date in (None, facts.host_date)
    same_card = txn.card is not None and event.card is not None and txn.card.digest == event.card.digest
    return (by_rrn or pointer.approval_code is not None) and same_day and same_card


def terminal_batch(state: State, rules: Rules, told: int) -> int:
    """The terminal's own batch: as it is told, or the one after that of its last close; 0 before it ever closed one."""
    if rules.terminal_tells_batch or state.terminal_upload is None:
        return told
    return state.terminal_upload.terminal_batch % BATCH_NUMBER_MAX + 1


def repeat_is_over(state: State, rules: Rules, txn: Transaction, now_ms: int) -> bool:
    """A request under this number is another one: nothing of a closed batch is told as its outcome (D6).

    A terminal neither repeats nor takes back what was in a batch that it has closed (`over`). One that does so all the
    same has been reset or replaced, and counts from 1 again. What tells its batch does not come here under the number
    of an old one.
    """
    if txn.over:
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
    stands = original.status in (TxnStatus.APPROVED, TxnStatus.STORED) or _is_refused_change(rules, original)
    if not stands or (wanted.known and not in_open_batch):
        return _not_there(wanted)
    if (used := _used(state, rules, wanted, original)) is not None:
        return used
    if wanted.takes_back and _is_refused_change(rules, original):
        return Refusal.ALREADY_USED, f"the host refused the {original.kind} of it: first end that, posd advices resolve"
    known = at_host(state, rules, original) if wanted.shared else original
    unlike = _unlike(state, rules, event, wanted, known)
    at_once = known.status is not TxnStatus.STORED and unlike is None
    # A tip that was lowered and is not there yet: not more may be given back than will be left.
    at_once = at_once and _unlike(state, rules, event, wanted, original) is None
    if original.status is TxnStatus.STORED and not at_once and not rules.kinds[event.kind].advice:
        return Refusal.NOT_SENT, f"the {original.kind} that it refers to has not reached the host yet"
    return unlike


def _not_there(wanted: OriginalRules) -> Refused:
    what = " or ".join(sorted(kind.value for kind in wanted.kinds))
    where = "of the open batch" if wanted.known else "of that name"
    return Refusal.NO_ORIGINAL, f"there is no approved {what} {where} to refer to"


def _used(state: State, rules: Rules, wanted: OriginalRules, original: Transaction) -> Refused | None:
    for user in _users_of_all(state, rules, original):
        if rules.kinds[user.kind].takes_back:
            return Refusal.ALREADY_VOIDED, f"this {original.kind} was voided already"
        if not (wanted.shared and user.kind in _sharing(rules)):
            return Refusal.ALREADY_USED, f"this {original.kind} has a {user.kind} already"
    return None


def _users_of_all(state: State, rules: Rules, txn: Transaction) -> Iterator[Transaction]:
    """What has used it, or what it stands for: a refund may name the sale as it was before its tip."""
    replacing = {txn.request_id}
    yield from users_of(state, rules, txn.request_id)
    while rules.kinds[txn.kind].replaces and (before := _before(state, txn)) is not None:
        txn = before
        yield from (user for user in users_of(state, rules, txn.request_id) if user.request_id not in replacing)
        replacing.add(txn.request_id)


def _sharing(rules: Rules) -> list[str]:
    return [kind for kind, row in rules.kinds.items() if row.original is not None and row.original.shared]


def _unlike(
    state: State, rules: Rules, event: TransactionRequested, wanted: OriginalRules, original: Transaction
) -> Refused | None:
    """Amount and card against the original's."""
    of_minor = original.counted_minor
    if wanted.shared:
        left = of_minor - _given_minor(state, rules, original, event)
        if event.amount_minor > left:
            return Refusal.AMOUNT_DIFFERS, f"of this {original.kind} {format_amount(left)} is left to give back"
    elif wanted.changes and event.amount_minor == of_minor:
        what = "it changes nothing, and could be meant as a void: that says amount zero"
        return Refusal.AMOUNT_INVALID, what
    elif wanted.tips:
        if (why_not := _tip_too_much(rules, event, wanted, without_tips(state, rules, original))) is not None:
            return why_not
    elif not _fits(event.amount_minor * 100, of_minor, wanted):
        return Refusal.AMOUNT_DIFFERS, f"the amount does not fit that of the {original.kind}"
    if original.card and event.card and original.card.digest != event.card.digest:
        return Refusal.CARD_DIFFERS, f"the card is not that of the {original.kind}"
    return None


def _tip_too_much(
    rules: Rules, event: TransactionRequested, wanted: OriginalRules, sold: Transaction
) -> Refused | None:
    """Not less than what was sold, and not more than the ceiling. A tip that was in the sale already is no part of
    what was sold."""
    percent, amount = rules.tip_percent_max, format_amount(sold.counted_minor)
    highest = max(sold.counted_minor, _before_tip_minor(sold) * (100 + percent) // 100)
    if event.amount_minor * 100 < sold.counted_minor * wanted.percent_min:
        whole = f"the amount is the whole, tip included, and not less than the {sold.kind} of {amount}"
        return Refusal.AMOUNT_DIFFERS, whole
    if event.amount_minor > highest:
        most = f"at most {format_amount(highest)}, tip included ({percent} percent)"
        return Refusal.AMOUNT_DIFFERS, f"a {sold.kind} of {amount} becomes {most}"
    return None


def tip_in(state: State, rules: Rules, event: TransactionRequested, original: Transaction | None) -> Minor:
    """The part of the amount that is a tip: as it is told, else what is above what was sold."""
    if event.tip_minor or original is None or not rules.kinds[event.kind].tips:
        return event.tip_minor
    return Minor(max(0, event.amount_minor - _before_tip_minor(without_tips(state, rules, original))))


def _before_tip_minor(sold: Transaction) -> int:
    return max(0, sold.counted_minor - sold.tip_minor)


def _fits(hundredfold: int, of_minor: int, wanted: OriginalRules) -> bool:
    if hundredfold < of_minor * wanted.percent_min:
        return False
    return wanted.percent_max is None or hundredfold <= of_minor * wanted.percent_max


def _given_minor(state: State, rules: Rules, original: Transaction, event: TransactionRequested) -> int:
    """What others of its kind have given back of the same sale, or may have, with or without its tip."""
    every = (*state.closed.values(), *state.transactions.values())
    given = (txn for txn in every if txn.kind is event.kind and txn.status in STANDING)
    return sum(txn.counted_minor for txn in given if _is_of(state, rules, txn, original))


def _is_of(state: State, rules: Rules, txn: Transaction, original: Transaction) -> bool:
    first, its_first = root_of(state, rules, original), root_of(state, rules, _before(state, txn))
    return first is not None and its_first is not None and its_first.request_id == first.request_id


def users_of(state: State, rules: Rules, of: RequestId) -> Iterator[Transaction]:
    """What has used this transaction, or may have: its void, its completion, its adjustment, its refunds."""
    for txn in (*state.transactions.values(), *state.closed.values()):
        if txn.original != of or _only_reports(rules, txn):
            continue
        if txn.status in STANDING and not _is_taken_back(state, rules, txn.request_id):
            yield txn


def freed_by(state: State, rules: Rules, of: RequestId) -> Iterator[Transaction]:
    """The voids because of which this one can be used again: who uses it relies on them."""
    for txn in (*state.transactions.values(), *state.closed.values()):
        if txn.original == of and txn.status in STANDING:
            yield from (void for void in users_of(state, rules, txn.request_id) if _has_freed(rules, void))


def must_stand(state: State, rules: Rules, txn: Transaction) -> bool:
    """It was used, or what it has freed was used again: undone, that would be used twice."""
    if any(users_of(state, rules, txn.request_id)):
        return True
    undone = _before(state, txn) if rules.kinds[txn.kind].takes_back else None
    if undone is None or undone.original is None:
        return False
    return any(user.request_id != undone.request_id for user in users_of(state, rules, undone.original))


def _has_freed(rules: Rules, txn: Transaction) -> bool:
    return rules.kinds[txn.kind].takes_back and txn.status is TxnStatus.APPROVED


def _only_reports(rules: Rules, txn: Transaction) -> bool:
    kind = rules.kinds[txn.kind].original
    return kind is not None and kind.reports


def _is_taken_back(state: State, rules: Rules, of: RequestId) -> bool:
    """For certain: only an approved void frees what its original had used."""
    return any(_has_freed(rules, user) for user in users_of(state, rules, of))
