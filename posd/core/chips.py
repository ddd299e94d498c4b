"""What a chip did after the host's approval, and what of it is uploaded (reference 1.7, record types 5 and 6).

- An approval stands as accepted by the chip, until its terminal says otherwise: by its own reversal, if what the chip
  said last is in it (else it is the terminal that failed), or in its own close. Such details are uploaded whether the
  totals agree or not, a message for each.
- What a terminal tells in its own close is used until the detail has left; from then on it is repeated as it was.
- What an issuer's script did is the terminal's to tell (an advice): what it never tells is shown, and nothing invented.
- It must never move money: a refused approval is undone by its reversal, and by nothing here.
"""

from posd.core.rules import TxnKind, Why
from posd.core.state import ChipResult, State, Transaction, TxnStatus
from posd.values import RequestId


def result_of(state: State, txn: Transaction) -> ChipResult | None:
    """How the chip ended it, as far as it is known; None: there is nothing to upload of it."""
    if not txn.chip:
        return None
    if txn.status is TxnStatus.APPROVED:
        return txn.chip_end.result if txn.chip_end is not None else ChipResult.ACCEPTED
    reversal = state.reversals.get(txn.request_id)
    told = may_be_refused(state, txn) and txn.chip_end is not None and txn.chip_end.result is ChipResult.REFUSED
    by_chip = reversal is not None and reversal.why is Why.REFUSED_BY_CHIP
    return ChipResult.REFUSED if by_chip or told else None


def may_be_refused(state: State, txn: Transaction) -> bool:
    """Its terminal took the approval back, and did not say of its chip why: its own close may say so yet."""
    reversal = state.reversals.get(txn.request_id)
    return txn.chip and txn.approval_seen and reversal is not None and reversal.why is Why.TERMINAL


def unreported(state: State) -> list[Transaction]:
    """Approvals of the open batch that brought issuer scripts, of whose results the terminal has told nothing."""
    every = (*state.closed.values(), *state.transactions.values())
    reported = {txn.original for txn in every if txn.kind is TxnKind.SCRIPT_RESULT}
    return [txn for txn in state.transactions.values() if owes_a_report(txn) and txn.request_id not in reported]


def owes_a_report(txn: Transaction) -> bool:
    """An approval that stands and brought issuer scripts."""
    return txn.status is TxnStatus.APPROVED and txn.facts is not None and txn.facts.scripts > 0


def to_upload(state: State) -> tuple[RequestId, ...]:
    """Of the open batch: what the chips accepted, then what they did not, each oldest first."""
    found = [(result_of(state, txn), of) for of, txn in state.transactions.items()]
    accepted = [of for result, of in found if result is ChipResult.ACCEPTED]
    return (*accepted, *(of for result, of in found if result not in (None, ChipResult.ACCEPTED)))
