"""Planted bugs: a world that does not catch each of them proves nothing (testing.md T13).

Each is a small change of posd, or of the order of machine.py, that a tired person could make. They are put in for the
length of a `with` and taken out again; nothing but the tests and `--bug` uses them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from msgspec import structs

from posd.core import (
    advice_delivery,
    advices,
    chips,
    engine,
    exchanges,
    originals,
    reversals,
    settlement,
    totals,
    totals_exchange,
    transactions,
    verdict,
)
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, MacCheck
from posd.core.effects import Result, ToTerminal
from posd.core.next_action import Step as EngineStep
from posd.core.payload import dump_state
from posd.core.rules import Why
from posd.core.state import ReversalStatus, State, TxnStatus
from posd.core.tables import transactions as table
from posd.daemon.lane import Lane
from posd.daemon.steps import Step
from posd.journal.contract import RecordRow, Row
from posd.profiles.unionpay import data, seal
from posd.profiles.unionpay.profile import UnionPay
from posd.values import Stan, Tid
from simulators.host.faults import Rule
from simulators.world import bugs_lines as lines
from simulators.world import bugs_refunds as giving
from simulators.world import bugs_restored as lost
from simulators.world import bugs_tills as tills
from simulators.world import machine as machines
from simulators.world import scripts
from simulators.world.faults import Faults
from simulators.world.machine import Machine
from simulators.world.plan import Plan
from simulators.world.planting import Bug, entry, patched, plain

HOUR_MS = 3_600_000


class HastyMachine(Machine):
    """Does before it remembers."""

    def order(self, tid: Tid, lane: Lane, step: Step) -> None:
        lane.adopt(step)
        self.perform(tid, step)
        if step.rows:
            self.append(tid, step.rows)


class CarelessMachine(Machine):
    """Leaves out the records of what it only owes."""

    def append(self, tid: Tid, rows: tuple[Row, ...]) -> None:
        kept = tuple(row for row in rows if not (isinstance(row, RecordRow) and row.kind == "reversal_owed"))
        Machine.append(self, tid, kept)


def reversal_dropped() -> AbstractContextManager[None]:
    """After its attempts a reversal is taken for done."""
    failed = reversals._failed

    def forget(draft: Any, record: Any) -> None:
        failed(draft, record)
        if draft.state.reversals[record.request_id].status is ReversalStatus.STUCK:
            draft.record(r.ReversalAcknowledged(record.request_id, "00"))

    return patched(reversals, "_failed", forget)


@contextmanager
def late_approval_accepted() -> Iterator[None]:
    """An approval that comes late is taken for one that came in time."""

    def accept(draft: Any, txn: Any) -> None:
        if draft.state.exchange is None and txn.request_id in draft.state.reversals:
            if draft.state.reversals[txn.request_id].status is ReversalStatus.OWED:
                draft.record(r.ReversalAcknowledged(txn.request_id, "00"))
            draft.record(r.Approved(txn.request_id, AnswerFacts("00")))

    key = (TxnStatus.REVERSED, table.Input.APPROVED)
    with patched(reversals, "late_approval", accept), entry(table.TABLE, key, TxnStatus.APPROVED):
        yield


def new_stan_on_totals_repeat() -> AbstractContextManager[None]:
    """The totals are asked again as a new question."""

    def ask(draft: Any) -> None:
        draft.state = structs.replace(draft.state, settlement=structs.replace(draft.state.settlement, stan=None))
        totals_exchange.ask(draft)

    return entry(engine._STEPS, EngineStep.ASK_TOTALS, ask)


def day_closed_twice() -> AbstractContextManager[None]:
    """What was closed is forgotten for the schedule as soon as there is new money: a due moment is due for long."""
    until: Callable[[Any], int] = settlement._satisfied_until_ms

    def forget(draft: Any) -> int:
        return until(draft) - (0 if settlement.nothing_to_settle(draft) else 12 * HOUR_MS)

    return patched(settlement, "_satisfied_until_ms", forget)


@contextmanager
def due_lost_at_restart() -> Iterator[None]:
    """The schedule looks ahead from the start of the process only."""
    until: Callable[[Any], int] = settlement._satisfied_until_ms
    take, started_ms = engine._take, dict[str, int]()

    def start(draft: Any, event: e.Event) -> None:
        if isinstance(event, e.Started):
            started_ms[draft.state.tid] = draft.now.wall_ms
        take(draft, event)

    def since_start(draft: Any) -> int:
        return max(until(draft), started_ms.get(draft.state.tid, 0))

    with patched(engine, "_take", start), patched(settlement, "_satisfied_until_ms", since_start):
        yield


@contextmanager
def approval_without_mac_accepted() -> Iterator[None]:
    """An approval without a MAC is believed."""
    judge = verdict.judge

    def trust(answer: Any, *rest: Any) -> Any:
        return judge(structs.replace(answer, mac=MacCheck.GOOD) if answer.mac is MacCheck.ABSENT else answer, *rest)

    with patched(transactions, "judge", trust), patched(reversals, "judge", trust):
        yield


def repeat_sent_again() -> AbstractContextManager[None]:
    """A request that is asked again is sent again."""
    find = State.find

    def blind(state: State, request_id: Any) -> Any:
        txn = find(state, request_id)
        return None if txn is not None and txn.status in (TxnStatus.APPROVED, TxnStatus.DECLINED) else txn

    return patched(State, "find", blind)


def unknown_outcome_owes_nothing() -> AbstractContextManager[None]:
    """Who gets no answer shrugs."""
    kinds = {kind: structs.replace(rules, reversible=False) for kind, rules in data.KINDS.items()}
    return patched(UnionPay, "kinds", kinds)


def restart_forgets() -> AbstractContextManager[None]:
    """What was in flight when posd died is taken for declined."""
    lost = exchanges.lost

    def forget(draft: Any, why: Why, detail: str) -> None:
        exchange = draft.state.exchange
        if why is Why.RESTART and exchange is not None and exchange.request_id in draft.state.transactions:
            txn = draft.state.transactions[exchange.request_id]
            if txn.status is TxnStatus.SENT:
                draft.record(r.Declined(txn.request_id, AnswerFacts("91")))
                return
        lost(draft, why, detail)

    return patched(exchanges, "lost", forget)


def card_number_in_the_clear() -> AbstractContextManager[None]:
    """A message is journalled as it is."""
    return patched(seal, "masked_fields", lambda message: {str(n): value for n, value in message.fields.items()})


def snapshot_without_reversals() -> AbstractContextManager[None]:
    """A snapshot leaves out what is owed."""
    return patched(machines, "dump_state", lambda state: dump_state(structs.replace(state, reversals={})))


def tombstones_ignored() -> AbstractContextManager[None]:
    """A request that was taken back before it came is sent all the same."""
    refusal = transactions._refusal

    def ignore(draft: Any, event: Any) -> Any:
        return refusal(structs.replace(draft, state=structs.replace(draft.state, tombstones=(), refused={})), event)

    return patched(transactions, "_refusal", ignore)


def taking_back_is_promised_only() -> AbstractContextManager[None]:
    """A terminal's 0400 is answered 00, and nothing is owed."""

    def promise(draft: Any, event: e.ReversalRequested) -> None:
        draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))

    return patched(reversals, "requested_by_terminal", promise)


def advice_taken_for_done() -> AbstractContextManager[None]:
    """After its attempts an advice is taken for delivered."""
    stuck = advice_delivery._stuck

    def done(draft: Any, advice: Any, because: str) -> None:
        stuck(draft, advice, because)
        draft.record(r.AdviceAcknowledged(advice.request_id, AnswerFacts("00"), False))

    return patched(advice_delivery, "_stuck", done)


def advice_with_a_new_number() -> AbstractContextManager[None]:
    """Each attempt of an advice is a new request to the host."""
    transaction_of = advice_delivery._transaction_of

    def renumbered(state: State, of: Any) -> Any:
        txn = transaction_of(state, of)
        again = state.advices[of].attempts > 1
        return structs.replace(txn, stan=Stan(txn.stan + 500_000)) if again else txn

    return patched(advice_delivery, "_transaction_of", renumbered)


def advice_promised_back_only() -> AbstractContextManager[None]:
    """A terminal takes an advice back, is answered 00, and it is delivered all the same."""

    def promise(draft: Any, event: e.ReversalRequested, txn: Any) -> None:
        draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))

    return patched(advices, "taken_back", promise)


def advice_answered_94_is_done() -> AbstractContextManager[None]:
    """94 is taken for "done" also on a first attempt, when it means that the number was used twice (D14)."""
    answered = advice_delivery.answered

    def take(draft: Any, advice: Any, answer: Any) -> None:
        answered(draft, structs.replace(advice, unanswered=max(1, advice.unanswered)), answer)

    return patched(advice_delivery, "answered", take)


def certificates_forgotten() -> AbstractContextManager[None]:
    """What the chips did is not uploaded when the totals agree anyway."""
    return patched(chips, "to_upload", lambda state: ())


def with_chips(plan: Plan) -> Plan:
    """Most cards are read by their chip."""
    return replace(plain(plan), chips=0.6)


def doubt_forgotten() -> AbstractContextManager[None]:
    """What the host refused is taken for refused for certain, whatever became of the attempts before."""
    refused = advices.refused

    def surely(draft: Any, advice: Any, code: str, in_part: bool) -> None:
        refused(draft, structs.replace(advice, unanswered=0), code, in_part)

    return patched(advice_delivery, "refused", surely)


def with_a_refused_repeat(plan: Plan) -> Plan:
    """The host books the first advice, its answer is lost, and its repeat is refused."""
    lost = Rule(do="lose_answer", mti="0220", amount="130.00", nth=1)
    refused = Rule(do="answer_code", mti="0220", amount="130.00", nth=2, code="61")
    return replace(plan, day=scripts.advices, host_rules=(lost, refused))


def tip_without_ceiling() -> AbstractContextManager[None]:
    """Whatever a terminal adds to a sale when the customer has gone."""
    return patched(originals, "_tip_too_much", lambda *anything: None)


def tip_on_a_tip() -> AbstractContextManager[None]:
    """A later tip names the one before it, and not the sale."""
    return patched(originals, "root_of", lambda state, rules, txn: txn)


def with_tips(plan: Plan) -> Plan:
    """A shop that lives of tips."""
    return replace(plan, day=scripts.tips)


def adjusted_counts_twice() -> AbstractContextManager[None]:
    """What was adjusted still counts, beside its adjustment."""
    counts = totals.counts

    def both(txn: Any, rules: Any) -> bool:
        return counts(structs.replace(txn, replaced_by=None), rules)

    return patched(totals, "counts", both)


ROUGH = Faults(lose=0.15, delay=0.1, duplicate=0.1, cut=0.05, terminal_line=0.1, impatient=0.1, refuse=0.1)

BUGS: Mapping[str, Bug] = {
    "send_before_journal": Bug(machine=HastyMachine),
    "owed_not_remembered": Bug(machine=CarelessMachine, faults=replace(ROUGH, kill=0.02)),
    "reversal_dropped": Bug(reversal_dropped, faults=replace(ROUGH, lose=0.3)),
    "late_approval_accepted": Bug(late_approval_accepted, faults=replace(ROUGH, delay=0.3)),
    "new_stan_on_totals_repeat": Bug(new_stan_on_totals_repeat, faults=ROUGH),
    "day_closed_twice": Bug(day_closed_twice),
    "due_lost_at_restart": Bug(due_lost_at_restart, faults=Faults(power_offs_a_day=2.0)),
    "approval_without_mac_accepted": Bug(approval_without_mac_accepted, faults=Faults(no_mac=0.3)),
    "repeat_sent_again": Bug(repeat_sent_again, faults=replace(ROUGH, impatient=0.5, terminal_line=0.3)),
    "unknown_outcome_owes_nothing": Bug(unknown_outcome_owes_nothing, faults=ROUGH),
    "restart_forgets": Bug(restart_forgets, faults=Faults(kill=0.05)),
    "card_number_in_the_clear": Bug(card_number_in_the_clear),
    "snapshot_without_reversals": Bug(snapshot_without_reversals, faults=replace(ROUGH, kill=0.02)),
    "tombstones_ignored": Bug(tombstones_ignored, faults=Faults(odd=0.5)),
    "advice_taken_for_done": Bug(advice_taken_for_done, faults=replace(ROUGH, lose=0.4)),
    "advice_with_a_new_number": Bug(advice_with_a_new_number, faults=replace(ROUGH, lose=0.4)),
    "advice_promised_back_only": Bug(advice_promised_back_only, faults=Faults(takes_back=0.7)),
    "adjusted_counts_twice": Bug(adjusted_counts_twice),
    "doubt_forgotten": Bug(doubt_forgotten, adjust=with_a_refused_repeat),
    "tip_without_ceiling": Bug(tip_without_ceiling, adjust=with_tips),
    "tip_on_a_tip": Bug(tip_on_a_tip, adjust=with_tips),
    "refund_of_anything": Bug(giving.refund_of_anything, adjust=giving.with_slips),
    "refund_reversed": Bug(giving.refund_reversed, faults=replace(ROUGH, lose=0.3)),
    "refund_sent_until_answered": Bug(giving.refund_sent_until_answered, faults=replace(ROUGH, lose=0.4)),
    "doubt_ends_as_approved": Bug(giving.doubt_ends_as_approved, faults=replace(ROUGH, lose=0.3)),
    "taking_back_is_promised_only": Bug(taking_back_is_promised_only, faults=Faults(takes_back=0.4)),
    "advice_answered_94_is_done": Bug(advice_answered_94_is_done, faults=Faults(reused=0.5)),
    "certificates_forgotten": Bug(certificates_forgotten, adjust=with_chips),
    "confirmed_after_all": Bug(tills.confirmed_after_all, faults=Faults(till_late=0.5), adjust=tills.with_tills),
    "till_key_forgotten_at_restart": Bug(
        tills.till_key_forgotten_at_restart, faults=Faults(kill=0.02), adjust=tills.with_tills
    ),
    "totals_wait_for_nobody": Bug(
        tills.totals_wait_for_nobody, faults=Faults(till_silent=0.8), adjust=tills.with_slow_tills
    ),
    "reversal_by_both_routes": Bug(
        lines.reversal_by_both_routes, faults=replace(ROUGH, lose=0.3), adjust=lines.by("kept", "kept")
    ),
    "lost_is_not_sent": Bug(lines.lost_is_not_sent, faults=replace(ROUGH, cut=0.3), adjust=lines.by("one_shot")),
    "withdrawn_too_late": Bug(lines.withdrawn_too_late, faults=replace(ROUGH, lose=0.3), adjust=lines.by("one_shot")),
    "silent_route_keeps_trying": Bug(
        lines.silent_route_keeps_trying, faults=Faults(delay=0.6), adjust=lines.by("kept", "kept")
    ),
    "late_connection_keeps_trying": Bug(
        lines.late_connection_keeps_trying, faults=replace(ROUGH, delay=0.3), adjust=lines.by("one_shot")
    ),
    "numbers_used_again": Bug(lost.numbers_used_again, adjust=lost.with_a_loss),
    "sold_without_a_question": Bug(
        lost.sold_without_a_question, faults=Faults(terminal_line=0.5, lose=0.1), adjust=lost.with_a_rush
    ),
    "old_batch_goes_on": Bug(lost.old_batch_goes_on, adjust=lost.with_a_loss),
    "tip_confirms_nothing": Bug(
        tills.tip_confirms_nothing, faults=Faults(till_silent=0.8), adjust=tills.with_slow_tills
    ),
    "silence_confirms": Bug(tills.silence_confirms, faults=Faults(till_silent=0.5), adjust=tills.with_tills),
}
"""At least one seed in twenty must catch each."""
