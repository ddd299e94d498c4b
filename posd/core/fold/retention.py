"""The fold of the end of card numbers; the rules stand in retention.py."""

from msgspec.structs import replace

from posd.core import records as r
from posd.core.state import State
from posd.errors import InvariantBroken

RetentionRecord = r.NumbersExpired | r.NumbersDestroyed


def apply_retention(state: State, record: RetentionRecord) -> State:
    """The state after one of them. The numbers of a batch that is open, or whose end was not recorded, stay."""
    if isinstance(record, r.NumbersExpired):
        if not set(record.batches) <= set(state.numbers_kept) - set(state.numbers_expiring):
            raise InvariantBroken("card numbers can expire once, and of closed batches only")
        return replace(state, numbers_expiring=(*state.numbers_expiring, *record.batches))
    if not all(state.numbers_gone(batch) for batch in record.batches):
        raise InvariantBroken("data keys were destroyed without a record that explains it")
    return replace(
        state,
        numbers_kept={of: at_ms for of, at_ms in state.numbers_kept.items() if of not in record.batches},
        numbers_expiring=tuple(of for of in state.numbers_expiring if of not in record.batches),
    )
