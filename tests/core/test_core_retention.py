"""The end of card numbers: recorded before it happens, once, and never of what anything is owed (D29)."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.fold.apply import apply
from posd.core.retention import due_batches
from posd.core.state import AdviceStatus, TxnStatus
from posd.errors import InvariantBroken
from tests.core.playbook import (
    SETTLE_NOW,
    TID,
    Playbook,
    after_sales,
    answered,
    balanced,
    not_recorded,
    offline_sale,
    quiet,
    ready,
    recorded,
    request_id,
    rules,
    sale,
    sent,
    settling,
    signed_in,
)

DAY_MS = 86_400_000
KEPT_DAYS = 180


def due(play: Playbook, later_ms: int = 1) -> e.NumbersDue:
    """Everything that was closed until now has been kept long enough."""
    return e.NumbersDue(play.wall + later_ms, KEPT_DAYS)


def destroyed(*batches: int) -> e.KeysDestroyed:
    return e.KeysDestroyed(batches, ("00112233aabbccdd",), 2)


def two_batches() -> Playbook:
    """Two are closed, the third is open with a sale."""
    play = settled(after_sales(2)).wait(60) >> sale(3) >> answered()
    return settled(play) >> sale(4) >> answered()


def settled(play: Playbook) -> Playbook:
    """Its batch agrees and is closed; the lane is signed in again, and idle."""
    batch = play.state.batch.number + 1
    return settling(play) >> balanced() >> answered() << recorded(r.BatchClosed) >> signed_in(batch=batch) << quiet


def carried() -> Playbook:
    """A reversal of the first batch was carried over into the second; the lane is idle."""
    play = ready(rules(settle_hold_max_s=10.0, reversal_attempts_max=9)) >> sale(1) >> answered()
    play >> sale(2) >> answered("68") << sent(ExchangeKind.REVERSAL) >> answered("96") >> SETTLE_NOW >> signed_in()
    play << sent(ExchangeKind.REVERSAL) >> answered("96")
    play.wait(10)
    while play.state.exchange is not None and play.state.exchange.kind is ExchangeKind.REVERSAL:
        play >> answered("96")
        play.wait(1)
    return play >> balanced() >> answered() << recorded(r.BatchClosed) >> signed_in(batch=8) << quiet


def test_d29_a_closed_batch_is_known_by_its_close() -> None:
    play = two_batches()
    assert list(play.state.numbers_kept) == [1, 2]
    assert play.state.batch.identity == 3
    assert not any(play.state.numbers_gone(batch) for batch in (1, 2, 3))


def test_d29_the_record_comes_first_and_then_the_word_that_they_are_gone() -> None:
    play = two_batches()
    first_ms = play.state.numbers_kept[1]
    play >> e.NumbersDue(first_ms, KEPT_DAYS) << not_recorded(r.NumbersExpired)
    play >> e.NumbersDue(first_ms + 1, KEPT_DAYS)
    play << recorded(r.NumbersExpired, batches=(1,), closed_until_ms=first_ms, kept_days=KEPT_DAYS)
    assert (play.state.numbers_expiring, play.state.numbers_gone(1), play.state.numbers_gone(2)) == ((1,), True, False)
    play >> e.NumbersDue(first_ms + 1, KEPT_DAYS) << not_recorded(r.NumbersExpired)  # once
    play >> destroyed(1) << recorded(r.NumbersDestroyed, batches=(1,), key_ids=("00112233aabbccdd",), files=2)
    assert (play.state.numbers_expiring, list(play.state.numbers_kept)) == ((), [2])
    assert play.state.numbers_gone(1)


def test_d29_killed_in_between_they_are_still_expiring() -> None:
    play = two_batches()
    play >> due(play)
    play.killed()
    assert play.state.numbers_expiring == (1, 2)
    play >> destroyed(1, 2) << recorded(r.NumbersDestroyed)
    assert play.state.numbers_kept == {}


def test_d29_the_open_batch_keeps_its_numbers_however_old() -> None:
    play = after_sales(2)
    play >> due(play, 4000 * DAY_MS) << not_recorded(r.NumbersExpired)


def test_d29_a_batch_with_an_owed_reversal_is_kept() -> None:
    play = carried()
    play >> due(play) << not_recorded(r.NumbersExpired)
    play >> e.ResolveReversal("c1", "Li", "seen at the bank", request_id(2))
    play >> due(play) << recorded(r.NumbersExpired, batches=(1,))


def test_d29_a_batch_with_a_refund_in_doubt_is_kept() -> None:
    play = two_batches()
    doubtful = replace(play.state.closed[request_id(3)], status=TxnStatus.IN_DOUBT)
    state = replace(play.state, closed={**play.state.closed, request_id(3): doubtful})
    assert due_batches(play.state, play.wall + 1) == (1, 2)
    assert due_batches(state, play.wall + 1) == (1,)


@pytest.mark.parametrize("status", [AdviceStatus.OWED, AdviceStatus.STUCK, AdviceStatus.REFUSED])
def test_d29_a_batch_with_an_advice_that_is_not_over_is_kept(status: AdviceStatus) -> None:
    play = ready() >> offline_sale(1) >> sale(2) >> answered() << sent(ExchangeKind.TRANSACTION) >> answered()
    state, of = settled(play).state, request_id(1, "offline_sale")
    assert due_batches(state, play.wall + 1) == (1,)
    state = replace(state, advices={of: replace(state.advices[of], status=status)})
    assert due_batches(state, play.wall + 1) == ()


def test_d29_in_the_middle_of_something_nothing_expires() -> None:
    play = two_batches() >> sale(5) << sent(ExchangeKind.TRANSACTION)
    play >> due(play) << not_recorded(r.NumbersExpired)
    play >> answered() >> SETTLE_NOW >> due(play) << not_recorded(r.NumbersExpired)


def test_d29_keys_that_come_back_with_a_copy_are_destroyed_again() -> None:
    play = two_batches()
    play >> due(play) >> destroyed(1, 2) >> destroyed(1) << recorded(r.NumbersDestroyed, batches=(1,))


@pytest.mark.parametrize("batches", [(1,), (3,), (9,)])
def test_d29_no_key_is_destroyed_without_a_record_that_explains_it(batches: tuple[int, ...]) -> None:
    play = two_batches()
    with pytest.raises(InvariantBroken, match="without a record"):
        play.engine.handle(destroyed(*batches), play.now)
    with pytest.raises(InvariantBroken, match="closed batches only"):
        apply(play.state, r.NumbersExpired((3,), 0, KEPT_DAYS), play.wall)
    assert play.state.tid == TID
