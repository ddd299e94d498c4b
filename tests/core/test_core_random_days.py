"""Random days: any order of events that a daemon can produce, and what must hold after every one of them."""

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupCount, GroupResult, HostTotals, MacCheck, Totals
from posd.core.confirmations import still_open
from posd.core.effects import ForgetCard, Refused, Result, SendAdvice, SendTransaction
from posd.core.rules import OnStuck, Rules, TxnKind, UnmacedDecline
from posd.core.state import UNENDED, ChipEnd, ChipResult, SettlementPhase, TxnStatus
from posd.values import CardRef, Minor, RequestId, Stan
from tests.core.playbook import (
    CARD,
    OTHER_CARD,
    Playbook,
    answered,
    balance,
    chip_refused,
    chip_sale,
    host_totals,
    late,
    offline_sale,
    preauth,
    refers,
    refund,
    refund_of,
    request_id,
    rules,
    sale,
    signed_in,
    taken_back,
    terminal_signs_in,
    void,
)

EXAMPLES_MAX = int(os.environ.get("POSD_RANDOM_DAYS", "40"))
SEEDS = int(os.environ.get("POSD_SEEDS", "60"))
STEPS = 300

PARAMETERS = {"timeout_s": "40", "resend_times": "1", "offline_max": "2"}
CODE_LIST = ["00", "00", "00", "10", "12", "25", "51", "68", "77", "94", "96", "A0", "ZZ"]
REVERSAL_CODES = ["00", "12", "25", "25", "68", "77", "96"]
JUMPS_H = [0, 0, 0, -8760, -24, -1, 1, 24, 8760]
CODES = st.sampled_from(CODE_LIST)
MACS = st.sampled_from([MacCheck.GOOD, MacCheck.GOOD, MacCheck.GOOD, MacCheck.BAD, MacCheck.ABSENT])
SAYS = ["keys", "keys", "off", "echo", "close", "upload", "end", "balance", "handed over", "download"]
BACK = st.integers(min_value=0, max_value=4)
"""How many requests ago."""

AMOUNTS = st.sampled_from([1000, 1000, 2000])
CARDS = st.sampled_from([CARD, CARD, OTHER_CARD])
KINDS = st.sampled_from(list(ExchangeKind))
NAMING = [
    TxnKind.ADJUST,
    TxnKind.TIP,
    TxnKind.COMPLETION,
    TxnKind.COMPLETION_NOTICE,
    TxnKind.PREAUTH_VOID,
    TxnKind.COMPLETION_VOID,
    TxnKind.EC_SALE,
    TxnKind.EC_REFUND,
]
WORDS = ["retry", "resolve", "closed", "not closed", "happened", "did not happen", "tell", "end"]
ENDS = ["completion", "completion_void"]
TAKEN_BACK = ["sale", "sale", "void", "refund", "offline_sale", "tip", "preauth", "completion", "completion_void"]
RESULTS = st.sampled_from(list(GroupResult))
SHOPS = st.builds(
    rules,
    echo_interval_s=st.sampled_from([0.0, 60.0]),
    on_stuck=st.sampled_from(OnStuck),
    unmaced_decline=st.sampled_from(UnmacedDecline),
    reversal_attempts_max=st.sampled_from([1, 4]),
    settle_attempts_max=st.sampled_from([1, 3]),
    upload_records_max=st.sampled_from([1, 8]),
    queue_max=st.sampled_from([1, 16]),
    sign_in_after_close=st.booleans(),
    refund_repeat=st.booleans(),
    partial_approval=st.booleans(),
    confirm_within_s=st.sampled_from([0.0, 60.0]),
    parameters_applied=st.booleans(),
    advice_stored_max=st.sampled_from([1, 3]),
    advice_attempts_max=st.sampled_from([1, 4]),
    settle_hold_max_s=st.sampled_from([0.0, 900.0]),
)


class Days(RuleBasedStateMachine):
    """The lane under a host that answers anything, a line that flaps, a clock that jumps, and kills."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Playbook()
        self.numbers = 0
        self.asked: set[str] = set()
        self.replies = 0
        self.cards: set[RequestId] = set()
        self.taken_back: set[RequestId] = set()
        self.owed: set[RequestId] = set()
        self.doubts: set[RequestId] = set()
        self.advised: set[RequestId] = set()

    # --- what happens --------------------------------------------------------------------------------------------

    @initialize(shop=SHOPS, ready=st.sampled_from([True, True, True, False]))
    def open(self, shop: Rules, ready: bool) -> None:
        self.play = Playbook(shop)
        self.feed(e.Started())
        if ready:
            self.feed(e.LinkUp())
            self.feed(signed_in())

    def feed(self, event: Any) -> None:
        event = event(self.play) if callable(event) else event
        if isinstance(event, e.TransactionRequested):
            self._asks(event)
        elif hasattr(event, "reply_to"):
            self.asked.add(event.reply_to)
        if isinstance(event, e.ReversalRequested):
            self.taken_back.add(event.original)
        self.play >> event
        self._after()

    def _asks(self, event: e.TransactionRequested) -> None:
        queued = {waiting.request_id for waiting in self.play.engine.agenda.queue}
        self.asked.add(event.reply_to)
        if self.play.state.find(event.request_id) is None and event.request_id not in queued:
            self.cards.add(event.request_id)

    def _after(self) -> None:
        """Who was answered, whose card is forgotten, what is owed now."""
        for draft in self.play.drafts:
            for answer in draft.to_terminal:
                assert answer.reply_to in self.asked, "nobody is answered twice, and nobody who did not ask"
                self.asked.remove(answer.reply_to)
                self._told(answer.answer)
            for effect in draft.effects:
                if isinstance(effect, ForgetCard):
                    self.cards.discard(effect.request_id)
        for record in self.play.records:
            match record:
                case r.ReversalOwed() | r.ReversalReopened():
                    self.owed.add(record.request_id)
                case r.ReversalAcknowledged() | r.ReversalResolved():
                    self.owed.discard(record.request_id)
                case r.TotalsAsked(attempt=1):
                    assert not still_open(self.play.state), "the totals wait for what is to be confirmed (D16)"
                case r.AdviceStored():
                    self.advised.add(record.request_id)
                case r.AdviceAcknowledged() | r.AdviceSettled() | r.AdviceRefused():
                    self.advised.discard(record.request_id)
                case r.AdviceCancelled() | r.AdviceResolved():
                    self.advised.discard(record.request_id)
                case r.RefundInDoubt():
                    self.doubts.add(record.request_id)
                case r.RefundResolved() | r.Approved():
                    self.doubts.discard(record.request_id)
                case _:
                    pass

    def _told(self, answer: Any) -> None:
        if isinstance(answer, Result) and answer.request_id is not None and answer.facts.rrn is not None:
            txn = self.play.state.find(answer.request_id)
            assert txn is not None
            assert txn.status in (TxnStatus.APPROVED, TxnStatus.DECLINED)
        if isinstance(answer, Refused) and answer.request_id is not None:
            txn = self.play.state.find(answer.request_id)
            assert txn is None or answer.refusal.value != "not_sent", "what was sent is never called not sent"

    def reply(self) -> str:
        self.replies += 1
        return f"reply-{self.replies}"

    def number(self, back: int) -> int:
        """A trace number of the terminal: an earlier one."""
        return max(self.numbers - back, 1)

    # The terminal ------------------------------------------------------------------------------------------------

    @rule()
    def a_new_sale(self) -> None:
        self.numbers += 1
        self.feed(sale(self.numbers, reply=self.reply()))

    @rule(amount=AMOUNTS)
    def a_chip_sale_approved(self, amount: int) -> None:
        self.numbers += 1
        event: Any = chip_sale(self.numbers, amount)
        self.feed(replace(event(self.play), reply_to=self.reply()))
        if self.in_flight(ExchangeKind.TRANSACTION):
            self.feed(answered("00", facts=AnswerFacts("00", icc="9100", scripts=self.numbers % 2)))

    @rule(back=BACK, amount=AMOUNTS)
    def a_chip_refuses(self, back: int, amount: int) -> None:
        self.feed(replace(chip_refused(self.number(back), amount), reply_to=self.reply()))

    @rule(of=BACK)
    def a_script_result(self, of: int) -> None:
        number = self.number(of)
        self.numbers += 1
        event: Any = refers(TxnKind.SCRIPT_RESULT, self.numbers, number, 0)
        self.feed(replace(event(self.play), reply_to=self.reply()))

    @rule(back=BACK, result=st.sampled_from(ChipResult))
    def the_terminal_tells_of_a_chip(self, back: int, result: ChipResult) -> None:
        item = e.UploadedItem(Stan(self.number(back)), Minor(1000), chip=ChipEnd(result, "05", "9F270140"))
        self.feed(e.TerminalUploaded(1, self.reply(), (item,)))

    @rule()
    def a_new_sale_approved(self) -> None:
        self.a_new_sale()
        self.the_host_says_yes()

    @rule(back=BACK, amount=AMOUNTS, card=CARDS, pin=st.sampled_from([False, False, True]))
    def a_sale_perhaps_a_repeat(self, back: int, amount: int, card: CardRef, pin: bool) -> None:
        self.feed(sale(self.number(back), amount, card, pin, self.reply()))

    @rule(back=BACK, amount=AMOUNTS)
    def a_tills_sale_perhaps_a_repeat(self, back: int, amount: int) -> None:
        self.numbers += back == 0
        event: Any = sale(self.number(back), amount, reply=self.reply())
        self.feed(replace(event(self.play), from_till=True))

    @rule(back=BACK)
    def a_till_confirms(self, back: int) -> None:
        self.feed(e.TillConfirmed(request_id(self.number(back)), self.reply()))

    @rule(of=BACK, amount=AMOUNTS)
    def a_void(self, of: int, amount: int) -> None:
        number = self.number(of)
        self.numbers += 1
        self.feed(void(self.numbers, number, amount, reply=self.reply()))

    @rule(back=BACK, amount=AMOUNTS, once=st.booleans())
    def a_refund_perhaps_a_repeat(self, back: int, amount: int, once: bool) -> None:
        self.numbers += back == 0
        self.feed(refund(self.number(back), amount, once, self.reply()))

    @rule(back=BACK, amount=AMOUNTS)
    def an_offline_sale_perhaps_a_repeat(self, back: int, amount: int) -> None:
        self.numbers += back == 0
        event: Any = offline_sale(self.number(back), amount)
        self.feed(replace(event(self.play), reply_to=self.reply()))

    @rule(of=BACK, kind=st.sampled_from(NAMING), amount=AMOUNTS, till=st.booleans())
    def what_names_another(self, of: int, kind: TxnKind, amount: int, till: bool) -> None:
        number = self.number(of)
        self.numbers += 1
        event: Any = refers(kind, self.numbers, number, amount)
        self.feed(replace(event(self.play), reply_to=self.reply(), from_till=till))

    @rule(of=BACK, amount=AMOUNTS)
    def a_refund_by_its_slip(self, of: int, amount: int) -> None:
        known = self.play.state.find(request_id(self.number(of)))
        if known is None or known.facts is None or known.facts.rrn is None:
            return
        event: Any = refund_of(self.numbers + 1, self.number(of), amount, date=None)
        self.numbers += 1
        self.feed(replace(event(self.play), reply_to=self.reply()))

    @rule(amount=AMOUNTS)
    def a_hold(self, amount: int) -> None:
        self.numbers += 1
        event: Any = preauth(self.numbers, amount)
        self.feed(replace(event(self.play), reply_to=self.reply()))

    @rule(back=BACK, what=st.sampled_from(TAKEN_BACK), amount=AMOUNTS)
    def a_terminals_reversal(self, back: int, what: str, amount: int) -> None:
        self.feed(replace(taken_back(self.number(back), amount, what), reply_to=self.reply()))

    @rule(back=BACK, what=st.sampled_from(SAYS))
    def the_terminal_says(self, back: int, what: str) -> None:
        reply = self.reply()
        events: dict[str, Any] = {
            "keys": lambda: replace(terminal_signs_in()(self.play), reply_to=reply),
            "off": lambda: e.TerminalSignedOff(reply),
            "echo": lambda: e.TerminalEchoed(reply),
            "close": lambda: e.TerminalTotalsGiven(1, Totals(GroupCount(1000, 1, 0, 0)), reply),
            "upload": lambda: e.TerminalUploaded(1, reply, (e.UploadedItem(Stan(self.number(back)), Minor(1000)),)),
            "end": lambda: e.TerminalUploaded(1, reply, stated=back),
            "balance": lambda: replace(balance(self.number(back))(self.play), reply_to=reply),
            "download": lambda: e.TerminalManagement("0800/370", "9F06", reply, self.play.mono),
            "handed over": lambda: e.HandedOver(request_id(self.number(back))),
        }
        self.feed(events[what]())

    # The host ----------------------------------------------------------------------------------------------------

    @rule()
    def the_host_says_yes(self) -> None:
        if self.in_flight(ExchangeKind.SIGN_IN):
            self.feed(signed_in())
        elif self.in_flight(ExchangeKind.TOTALS):
            self.feed(answered("", host_totals=host_totals(self.play)))
        elif self.play.state.exchange is not None:
            self.feed(answered("00"))

    @rule(code=CODES, mac=MACS, differs=st.sampled_from(["", "", "", "field 4 differs"]), again=st.booleans())
    def the_host_answers(self, code: str, mac: MacCheck, differs: str, again: bool = False) -> None:
        if self.play.state.exchange is not None:
            maced = self.play.state.exchange.kind in (ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL)
            wants: dict[str, Any] = {"attention": "3", "wants": "sign in again", "wants_sign_in": True} if again else {}
            if again and code == "00":
                wants = {
                    "attention": "1",
                    "wants": "a download",
                    "wants_function": "0800/360",
                    "parameters": PARAMETERS,
                }
            self.feed(answered(code, mac if maced else MacCheck.EXEMPT, mismatch=differs, amount_minor=400, **wants))

    @rule(moved=st.sampled_from([0, 1, -1]), ahead_s=st.sampled_from([0, 0, 7200]), same=st.booleans())
    def the_host_signs_us_in(self, moved: int, ahead_s: int, same: bool) -> None:
        if self.in_flight(ExchangeKind.SIGN_IN):
            keys = self.play.state.session.wrapped_keys if same else None
            self.feed(signed_in(max(self.play.state.batch.number + moved, 1), keys, ahead_s))

    @rule(domestic=RESULTS, foreign=RESULTS, nothing=st.booleans())
    def the_host_answers_totals(self, domestic: GroupResult, foreign: GroupResult, nothing: bool) -> None:
        if self.in_flight(ExchangeKind.TOTALS):
            totals = HostTotals(Totals(), domestic, foreign) if nothing else host_totals(self.play, domestic, foreign)
            self.feed(answered("", host_totals=totals))

    @rule(kind=KINDS, back=st.integers(min_value=0, max_value=8), code=CODES, mac=MACS)
    def a_late_answer(self, kind: ExchangeKind, back: int, code: str, mac: MacCheck) -> None:
        stan = self.play.state.stan - back
        self.feed(late(kind, None if kind is ExchangeKind.ECHO else stan if stan > 0 else 999_999, code, mac=mac))

    @rule(back=st.integers(min_value=0, max_value=3), code=CODES)
    def a_late_answer_to_a_sale(self, back: int, code: str) -> None:
        sent = [x.message for x in self.play.sent if isinstance(x.message, SendTransaction)]
        if len(sent) > back:
            self.feed(late(ExchangeKind.TRANSACTION, sent[-1 - back].transaction.stan, code))

    # Time --------------------------------------------------------------------------------------------------------

    @rule()
    def the_next_deadline(self) -> None:
        if self.play.engine.next_deadline_s(self.play.now) is not None:
            self.play.wake()
            self._after()

    @rule()
    def nobody_answers_for_a_minute(self) -> None:
        self.play.wait(61)
        self._after()

    @rule(
        seconds=st.sampled_from([0.5, 20, 600, 7200, 100_000]),
        jump_h=st.sampled_from(JUMPS_H),
    )
    def time_passes_unnoticed(self, seconds: float, jump_h: int) -> None:
        self.play.skip_time(seconds)
        self.play.wall += jump_h * 3_600_000
        self.feed(e.Tick())

    # Trouble -----------------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["flap", "flap", "flap", "down", "up", "lost", "lost", "garbage", "garbled answer"]))
    def trouble_on_the_line(self, what: str) -> None:
        exchange = self.play.state.exchange
        if what in ("flap", "down"):
            self.feed(e.LinkDown("reset"))
        if what in ("flap", "up"):
            self.feed(e.LinkUp())
        if what == "lost":
            self.feed(e.ExchangeLost(self.play.engine.agenda.exchange_token or "10000001#0", "reset"))
        if what == "garbage":
            self.feed(e.HostUnreadable("not a digit"))
        if what == "garbled answer" and exchange is not None:
            self.feed(e.HostUnreadable("not a digit", exchange.kind, exchange.stan))

    @rule(up=st.sampled_from([True, True, True, False]))
    def killed(self, up: bool) -> None:
        self.asked.clear()
        self.cards.clear()
        self.play.killed()
        self._after()
        if up:
            self.feed(e.LinkUp())

    @rule(kinds=st.sets(KINDS, max_size=2))
    def some_cannot_be_encoded(self, kinds: set[ExchangeKind]) -> None:
        self.play.cannot_encode = lambda to_host: "too long" if to_host.kind in kinds else None

    # A person ----------------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(WORDS))
    def a_person(self, what: str) -> None:
        told = list(self.play.state.advices) or [request_id(1, "offline_sale")]
        unended, doubts = self.play.state.unended_reversals(), self.play.state.in_doubt()
        refunded = doubts[0].request_id if doubts else request_id(1, "refund")
        commands: dict[str, Any] = {
            "retry": e.RetryReversals("c", "anna", None),
            "resolve": e.ResolveReversal("c", "anna", "why not", unended[0].request_id if unended else request_id(1)),
            "tell": e.RetryAdvices("c", "anna", None),
            "end": e.ResolveAdvice("c", "anna", "why not", told[0]),
            "closed": e.DecideSettlement("c", "anna", "why not", True),
            "not closed": e.DecideSettlement("c", "anna", "why not", False),
            "happened": e.ResolveRefund("c", "anna", "why not", refunded, True),
            "did not happen": e.ResolveRefund("c", "anna", "why not", refunded, False),
        }
        self.feed(commands[what])

    @rule()
    def a_person_settles(self) -> None:
        self.feed(e.SettleNow("c", "anna"))

    @precondition(lambda self: self.play.state.settlement.phase is SettlementPhase.OPEN)
    @rule()
    def a_settlement_as_far_as_the_totals(self) -> None:
        self.feed(e.SettleNow("c", "anna"))
        for _ in range(8):
            if self.play.state.exchange is not None and not self.in_flight(ExchangeKind.TOTALS):
                self.the_host_says_yes()

    # --- what must hold ------------------------------------------------------------------------------------------

    def in_flight(self, kind: ExchangeKind) -> bool:
        exchange = self.play.state.exchange
        return exchange is not None and exchange.kind is kind

    @invariant()
    def what_is_owed_is_never_dropped(self) -> None:
        unended = {of for of, reversal in self.play.state.reversals.items() if reversal.status in UNENDED}
        assert unended == self.owed

    @invariant()
    def an_approval_stands_unless_the_terminal_takes_it_back(self) -> None:
        for txn in [*self.play.state.transactions.values(), *self.play.state.closed.values()]:
            if txn.facts is not None and txn.facts.code == "00" and txn.status is not TxnStatus.APPROVED:
                assert txn.request_id in self.taken_back or (txn.confirm and not txn.handed_over)

    @invariant()
    def no_request_is_sent_twice(self) -> None:
        """But a refund in doubt, once more, where the shop says so (D13); an advice, until it is acknowledged."""
        left = [x for x in self.play.sent if x.kind is ExchangeKind.TRANSACTION]
        sent = Counter(x.request_id for x in left if isinstance(x.message, SendTransaction))
        repeated = {record.request_id for record in self.play.every(r.RefundRepeated)}
        assert not [of for of, times in sent.items() if times > 1 + (of in repeated)]
        assert not repeated or self.play.rules.refund_repeat

    @invariant()
    def what_has_happened_is_never_dropped_nor_reversed(self) -> None:
        state = self.play.state
        assert {advice.request_id for advice in state.undelivered_advices()} == self.advised
        assert not state.advices.keys() & state.reversals.keys()
        numbers = Counter(x.message.transaction.stan for x in self._advices())
        assert len(numbers) == len({x.request_id for x in self._advices()}), "each has its own number, for ever"

    def _advices(self) -> list[Any]:
        return [x for x in self.play.sent if isinstance(x.message, SendAdvice)]

    @invariant()
    def what_was_adjusted_counts_once(self) -> None:
        every = {**self.play.state.closed, **self.play.state.transactions}
        for txn in every.values():
            if txn.replaced_by is not None and txn.replaced_by in every:
                assert every[txn.replaced_by].status not in (TxnStatus.CANCELLED, TxnStatus.RESOLVED) or (
                    every[txn.replaced_by].replaced_by is not None
                )

    @invariant()
    def a_refund_in_doubt_is_never_dropped_nor_reversed(self) -> None:
        assert {txn.request_id for txn in self.play.state.in_doubt()} == self.doubts
        assert not [of for of in self.play.state.reversals if of.endswith("refund")]

    @invariant()
    def no_card_is_kept_longer_than_needed(self) -> None:
        exchange = self.play.state.exchange
        needed = {waiting.request_id for waiting in self.play.engine.agenda.queue}
        if exchange is not None and exchange.kind is ExchangeKind.TRANSACTION and exchange.request_id is not None:
            needed.add(exchange.request_id)
        if self.play.engine.agenda.repeat is not None:
            needed.add(self.play.engine.agenda.repeat[0])
        assert self.cards <= needed

    @invariant()
    def a_batch_is_closed_once(self) -> None:
        if self.play.state.last_close is not None:
            assert self.play.state.last_close.batch == self.play.state.batch.identity - 1

    def teardown(self) -> None:
        """However it went: with a host that says yes, everything comes to an end."""
        self.play.cannot_encode = lambda to_host: None
        self.feed(e.LinkUp())
        for _ in range(3000):
            if not self._pending():
                break
            self._good_host()
        assert not self._pending(), f"{self.play.state.settlement} {self.play.state.exchange} {self.asked}"

    def _good_host(self) -> None:
        state = self.play.state
        if state.exchange is not None:
            self.the_host_says_yes()
        elif state.settlement.phase is SettlementPhase.UNCONFIRMED:
            self.feed(e.DecideSettlement("c", "anna", "asked the acquirer", True))
        elif self.play.engine.next_deadline_s(self.play.now) is not None:
            self.play.wake()
            self._after()
        else:
            self.feed(e.Tick())

    def _pending(self) -> bool:
        """Something is in flight, waits, or is owed by other than a conflict, which only a person can end."""
        state = self.play.state
        owed = [rev for rev in state.unended_reversals() if rev.status.value != "conflict"]
        busy = state.exchange is not None or state.settlement.phase is not SettlementPhase.OPEN
        return bool(busy or owed or self.asked or not state.session.signed_in)


class Walk:
    """A long day by seed: the same happenings as above, most of them good, drawn with weights."""

    def __init__(
        self, seed: int, with_refunds: bool = True, with_tills: bool = False, with_advices: bool = False
    ) -> None:
        self.with_refunds, self.with_tills, self.with_advices = with_refunds, with_tills, with_advices
        self.draw = random.Random(seed)
        self.days = Days()
        pick = self.draw.choice
        shop = rules(
            echo_interval_s=pick([0.0, 0.0, 300.0]),
            on_stuck=pick(list(OnStuck)),
            unmaced_decline=pick(list(UnmacedDecline)),
            reversal_attempts_max=pick([1, 4]),
            settle_attempts_max=pick([1, 3]),
            settle_hold_max_s=pick([10.0, 900.0]),
            upload_records_max=pick([1, 8]),
            queue_max=pick([1, 16]),
            sign_in_after_close=pick([True, False]),
            refund_repeat=with_refunds and pick([True, False]),
            partial_approval=with_refunds and pick([True, False]),
        )
        if with_advices:
            shop = replace(shop, advice_stored_max=pick([1, 3, 10]), advice_attempts_max=pick([1, 4]))
        self.days.open(shop=replace(shop, confirm_within_s=60.0 if with_tills else 0.0), ready=True)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
            for check in CHECKS:
                check(self.days)
        self.days.teardown()

    def _again(self) -> bool:
        return self.with_refunds and self.draw.choice([True, False, False])

    def _step(self) -> None:
        days, pick, back = self.days, self.draw.choice, self.draw.randrange(5)
        reversing, asking = days.in_flight(ExchangeKind.REVERSAL), days.in_flight(ExchangeKind.TOTALS)
        amount, code = pick([1000, 1000, 1000, 2000]), pick(REVERSAL_CODES if reversing else CODE_LIST)
        mac = pick([MacCheck.GOOD] * 6 + [MacCheck.BAD, MacCheck.ABSENT])
        reversed_by_terminals = ["sale", "void", "refund"] if self.with_refunds else ["sale", "void"]
        happenings: list[tuple[int, Callable[[], None]]] = [
            (8, days.a_new_sale),
            (8, days.a_new_sale_approved),
            (16, days.the_host_says_yes),
            (8, days.the_next_deadline),
            (
                3,
                lambda: days.a_sale_perhaps_a_repeat(back, amount, pick([CARD, CARD, OTHER_CARD]), pick([False, True])),
            ),
            (4, lambda: days.a_void(back, amount)),
            (3, lambda: days.a_terminals_reversal(back, pick(reversed_by_terminals), amount)),
            (
                4,
                lambda: days.the_terminal_says(
                    back, pick(["keys", "close", "balance", "handed over", "off", "upload"])
                ),
            ),
            (
                30 if reversing else 12,
                lambda: days.the_host_answers(code, mac, pick(["", "", "", "", "field 4 differs"]), self._again()),
            ),
            (2, lambda: days.the_host_signs_us_in(pick([0, 0, 1, -1]), pick([0, 0, 7200]), pick([True, False]))),
            (
                30 if asking else 0,
                lambda: days.the_host_answers_totals(*self.draw.choices(list(GroupResult), k=2), pick([True, False])),
            ),
            (2, lambda: days.a_late_answer(pick(list(ExchangeKind)), back, code, mac)),
            (3, lambda: days.a_late_answer_to_a_sale(back, pick(["00", "51"]))),
            (3, days.nobody_answers_for_a_minute),
            (1, lambda: days.time_passes_unnoticed(pick([0.5, 20, 600, 7200, 100_000]), pick(JUMPS_H))),
            (2, lambda: days.trouble_on_the_line(pick(["flap", "flap", "down", "up", "garbage", "garbled answer"]))),
            (2, lambda: days.killed(pick([True, True, True, False]))),
            (1, lambda: days.some_cannot_be_encoded({pick(list(ExchangeKind))})),
            (1, lambda: days.some_cannot_be_encoded(set())),
            (2, lambda: days.a_person(pick(["retry", "resolve", "closed", "not closed"]))),
            (1, days.a_person_settles),
            (2, days.a_settlement_as_far_as_the_totals),
        ]
        if self.with_refunds:
            happenings += [
                (5, lambda: days.a_refund_perhaps_a_repeat(back, amount, pick([True, False]))),
                (1, lambda: days.a_person(pick(["happened", "did not happen"]))),
            ]
        if self.with_tills:
            happenings += [
                (16, lambda: days.a_tills_sale_perhaps_a_repeat(pick([0, 0, 0, back]), amount)),
                (12, lambda: days.a_till_confirms(back)),
            ]
        if self.with_advices:
            happenings += [
                (12, lambda: days.an_offline_sale_perhaps_a_repeat(pick([0, 0, 0, back]), amount)),
                (12, lambda: days.what_names_another(back, pick(NAMING), amount, pick([False, False, True]))),
                (4, lambda: days.a_refund_by_its_slip(back, amount)),
                (3, lambda: days.a_void(back, amount)),
                (6, lambda: days.a_hold(amount)),
                (3, lambda: days.a_terminals_reversal(back, pick(["offline_sale", "tip", *ENDS]), amount)),
                (2, lambda: days.a_person(pick(["tell", "tell", "end"]))),
            ]
        weights, actions = zip(*happenings, strict=True)
        self.draw.choices(actions, weights)[0]()


CHECKS = [
    Days.what_is_owed_is_never_dropped,
    Days.an_approval_stands_unless_the_terminal_takes_it_back,
    Days.no_request_is_sent_twice,
    Days.no_card_is_kept_longer_than_needed,
    Days.a_batch_is_closed_once,
    Days.a_refund_in_doubt_is_never_dropped_nor_reversed,
    Days.what_has_happened_is_never_dropped_nor_reversed,
    Days.what_was_adjusted_counts_once,
]

FAILED_ONCE = (1101, 1109, 1306)
"""Seeds of walks that once failed, when there were no refunds yet."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_long_day_by_seed(seed: int) -> None:
    Walk(seed).run(STEPS)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_long_day_with_advices_by_seed(seed: int) -> None:
    Walk(seed, with_advices=True).run(STEPS)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_d16_a_long_day_with_tills_by_seed(seed: int) -> None:
    Walk(seed, with_tills=True).run(STEPS)


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_a_day_that_once_failed(seed: int) -> None:
    Walk(seed, with_refunds=False).run(STEPS)


Days.TestCase.settings = settings(
    max_examples=EXAMPLES_MAX,
    stateful_step_count=50,
    deadline=None,
    derandomize="POSD_RANDOM_DAYS" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestRandomDays = Days.TestCase
