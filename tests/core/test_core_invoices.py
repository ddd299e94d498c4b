"""Invoice numbers of tills beside those of the terminal that they share an id with (reference 2.4)."""

from typing import Any

from msgspec.structs import replace

from posd.core import events as e
from posd.core.effects import Refusal, SendTransaction
from posd.core.invoices import OURS_FIRST
from posd.core.rules import Rules
from posd.values import Stan
from tests.core.playbook import Fed, Playbook, answered, offline_sale, ready, refund, request_id, sale, told, void
from tests.core.test_core_other_close import other


def invoiced() -> Rules:
    return other(has_invoices=True)


def changed(fed: Fed, **changes: Any) -> Fed:
    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        return replace(asked, **changes)

    return event


def by_till(fed: Fed, **changes: Any) -> Fed:
    return changed(fed, terminal_stan=Stan(0), terminal_batch=0, from_till=True, **changes)


def invoice_of(play: Playbook, number: int, what: str = "sale") -> int:
    return play.state.transactions[request_id(number, what)].invoice


def test_a_till_and_its_terminal_never_share_a_number() -> None:
    play = ready(invoiced())
    for number in range(1, 6):
        play >> changed(sale(number), invoice=number) >> answered()
        play >> by_till(sale(100 + number)) >> answered()
    numbers = [txn.invoice for txn in play.state.transactions.values()]
    assert len(set(numbers)) == 10
    assert all(invoice_of(play, 100 + number) >= OURS_FIRST for number in range(1, 6))


def test_what_a_till_voids_keeps_its_number_and_a_refund_has_its_own() -> None:
    play = ready(invoiced()) >> changed(sale(1), invoice=41) >> answered() >> by_till(sale(2)) >> answered()
    own, foreign = (e.OriginalPointer(None, None, None, request_id(number)) for number in (2, 1))
    play >> by_till(void(3, of=2), original=own) >> answered()
    play >> by_till(void(4, of=1), original=foreign) >> answered()
    assert invoice_of(play, 3, "void") == invoice_of(play, 2)
    assert invoice_of(play, 4, "void") == 41
    play >> by_till(refund(5)) >> answered()
    assert invoice_of(play, 5, "refund") not in (0, 41, invoice_of(play, 2))


def test_a_number_that_a_terminal_has_used_is_passed_over() -> None:
    play = ready(invoiced())
    play >> changed(sale(1), invoice=OURS_FIRST + play.state.stan + 1) >> answered() >> by_till(sale(2))
    (message,) = [one.message for one in play.sent[-1:]]
    assert isinstance(message, SendTransaction)
    assert message.transaction.invoice == OURS_FIRST + message.transaction.stan + 1


def test_a_terminals_request_under_a_tills_number_is_refused_by_name_and_the_next_is_served() -> None:
    play = ready(invoiced()) >> by_till(sale(1)) >> answered()
    taken = invoice_of(play, 1)
    play >> changed(sale(2), invoice=taken) << told("sale-2", Refusal.NUMBER_TAKEN)
    play >> changed(offline_sale(3), invoice=taken) << told("offline_sale-3", Refusal.NUMBER_TAKEN)
    play >> changed(sale(4), invoice=taken + 1) >> answered() << told("sale-4", "00")


def test_a_dialect_without_invoices_gives_none() -> None:
    play = ready(other()) >> by_till(sale(1)) >> answered()
    assert invoice_of(play, 1) == 0
