"""A driver for one lane: events go in with an explicit clock, drafts are adopted, outputs are asserted.

    play >> sale(1) << sent(TRANSACTION) >> answered("00") << told("sale-1", "00")

After every step it checks what must hold always: folding all records anew gives the same state, every record and the
state survive the journal's text, the next deadline lies in the future, and at most one exchange is in flight.
"""

from collections.abc import Callable
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import (
    AnswerClass,
    AnswerFacts,
    ExchangeKind,
    GroupResult,
    HostAnswer,
    HostTotals,
    MacCheck,
    Totals,
)
from posd.core.draft import Draft
from posd.core.effects import Alert, CommandDone, ForgetCard, Note, Refusal, Refused, Result, SignInResult, ToHost
from posd.core.engine import Engine
from posd.core.fold.apply import apply, opened
from posd.core.payload import dump_record, dump_state, load_record, load_state, record_name, record_version
from posd.core.rules import Gaps, KindRules, OriginalRules, Rules, Side, TxnKind, Upload, Why
from posd.core.state import UNENDED, AdviceStatus, State, Transaction, TxnStatus
from posd.values import BatchNumber, CardRef, Minor, Now, RequestId, Rrn, Stan, Tid

TID = Tid("10000001")
ZONE = "Asia/Shanghai"
FIRST_BATCH = BatchNumber(7)


def replacing(*kinds: TxnKind, **more: Any) -> OriginalRules:
    return OriginalRules(frozenset(kinds), replaces=True, percent_max=None, **more)


def advice(original: OriginalRules | None = None) -> KindRules:
    return KindRules(False, Side.DEBIT, original, never_deferred=True, upload=Upload.ALONE, advice=True)


def gives_back(kind: TxnKind) -> KindRules:
    original = OriginalRules(frozenset({kind}), known=False, shared=True, percent_min=0)
    return KindRules(False, Side.CREDIT, original, never_deferred=True, in_doubt=True, upload=Upload.ALONE)


RULES = Rules(
    kinds={
        TxnKind.SALE: KindRules(reversible=True, side=Side.DEBIT, certified=True),
        TxnKind.VOID: KindRules(True, Side.CREDIT, OriginalRules(frozenset({TxnKind.SALE}), takes_back=True)),
        TxnKind.BALANCE: KindRules(reversible=False, side=Side.NEITHER, has_amount=False),
        TxnKind.REFUND: gives_back(TxnKind.SALE),
        TxnKind.PREAUTH: KindRules(True, Side.NEITHER, certified=True),
        TxnKind.PREAUTH_VOID: KindRules(
            True, Side.NEITHER, OriginalRules(frozenset({TxnKind.PREAUTH}), known=False, takes_back=True)
        ),
        TxnKind.COMPLETION: KindRules(
            True, Side.DEBIT, OriginalRules(frozenset({TxnKind.PREAUTH}), known=False, percent_min=0, percent_max=115)
        ),
        TxnKind.COMPLETION_VOID: KindRules(
            True, Side.CREDIT, OriginalRules(frozenset({TxnKind.COMPLETION}), takes_back=True)
        ),
        TxnKind.COMPLETION_NOTICE: advice(
            OriginalRules(frozenset({TxnKind.PREAUTH}), known=False, percent_min=0, percent_max=115)
        ),
        TxnKind.OFFLINE_SALE: advice(),
        TxnKind.ADJUST: advice(replacing(TxnKind.OFFLINE_SALE, TxnKind.ADJUST, percent_min=0)),
        TxnKind.TIP: advice(replacing(TxnKind.SALE, TxnKind.OFFLINE_SALE, TxnKind.TIP, tips=True)),
        TxnKind.EC_SALE: advice(),
        TxnKind.EC_REFUND: gives_back(TxnKind.EC_SALE),
        TxnKind.SCRIPT_RESULT: KindRules(
            False,
            Side.NEITHER,
            OriginalRules(frozenset({TxnKind.SALE}), known=False, reports=True),
            upload=Upload.NONE,
            advice=True,
            has_amount=False,
            first=True,
        ),
    },
    due_times=(time(23, 0),),
    zone=ZONE,
    reversal_reasons={
        Why.TIMEOUT: "98",
        Why.LINK: "98",
        Why.MAC: "A0",
        Why.UNREADABLE: "06",
        Why.UNCONFIRMED: "98",
        Why.PARTIAL: "96",
        Why.REFUSED_BY_CHIP: "96",
        Why.RESTART: "98",
        Why.TERMINAL: "96",
        Why.NOT_CONFIRMED: "98",
        Why.NOT_SENT: "98",
    },
    reversal_retry=Gaps(5.0, 300.0),
    advice_retry=Gaps(5.0, 300.0),
)

CLASSES = {
    "": AnswerClass.APPROVE,
    "00": AnswerClass.APPROVE,
    "10": AnswerClass.APPROVE_PARTIAL,
    **dict.fromkeys(("77", "99", "A0"), AnswerClass.ACT_AND_RETRY),
    **dict.fromkeys(("09", "68", "98", "ZZ"), AnswerClass.UNCONFIRMED),
}

CARD = CardRef("622848****0017", "d1")
OTHER_CARD = CardRef("622848****0025", "d2")


def wall_ms(text: str, zone: str = ZONE) -> int:
    """'2026-03-02 10:00:00' in the shop's zone as milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def rules(**changes: Any) -> Rules:
    return replace(RULES, **changes)


Fed = e.Event | Callable[["Playbook"], e.Event]
Expectation = Callable[["Playbook"], None]


class Playbook:
    """One lane with its journal in a list. `drafts` are those of the last `>>` or `wait`."""

    def __init__(self, with_rules: Rules = RULES, at: str = "2026-03-02 10:00:00") -> None:
        self.rules = with_rules
        self.wall, self.mono = wall_ms(at, with_rules.zone), 1000.0
        self.journal: list[tuple[int, str, int, str]] = []
        self.folded: State | None = None
        first = r.LaneOpened(TID, Stan(1), FIRST_BATCH)
        self.engine = Engine(with_rules, opened(first, self.wall))
        self._remember([first], self.wall)
        self.drafts: list[Draft] = []
        self.sent: list[ToHost] = []
        self.cannot_encode: Callable[[ToHost], str | None] = lambda to_host: None
        self.at_fault: RequestId | None = None
        self.for_now = False

    # --- the loop ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.wall, self.mono)

    @property
    def state(self) -> State:
        return self.engine.state

    def __rshift__(self, event: Fed) -> "Playbook":
        self.drafts = []
        self.feed(event)
        return self

    def __lshift__(self, expected: Expectation) -> "Playbook":
        expected(self)
        return self

    def feed(self, fed: Fed) -> None:
        event = fed(self) if callable(fed) else fed
        for _ in range(64):
            draft = self.engine.handle(event, self.now)
            because = self.cannot_encode(draft.to_host) if draft.to_host is not None else None
            if because is None:
                break
            event = draft.cannot_encode(because, self.for_now, self.at_fault)
        else:
            raise AssertionError("an encoding failure that does not end")
        self._remember(draft.records, self.wall)
        self.engine.adopt(draft)
        self.drafts.append(draft)
        if draft.to_host is not None:
            self.sent.append(draft.to_host)
        self._check(draft)

    def _remember(self, records: list[r.Record], at_ms: int) -> None:
        for record in records:
            name, text = record_name(record), dump_record(record)
            loaded = load_record(name, record_version(name), text)
            assert loaded == record, "a record must survive the journal"
            self.journal.append((at_ms, name, record_version(name), text))
            self.folded = self._fold(self.folded, loaded, at_ms)

    @staticmethod
    def _fold(state: State | None, record: r.Record, at_ms: int) -> State:
        if state is None:
            assert isinstance(record, r.LaneOpened)
            return opened(record, at_ms)
        return apply(state, record, at_ms)

    def refold(self) -> State:
        """Fold the whole journal from its text."""
        state: State | None = None
        for at_ms, name, version, text in self.journal:
            state = self._fold(state, load_record(name, version, text), at_ms)
        assert state is not None
        return state

    def _check(self, draft: Draft) -> None:
        state, agenda = self.state, self.engine.agenda
        assert self.folded == state, "replay must give the state"
        assert load_state(dump_state(state)) == state, "a snapshot must give the state"
        deadline_s = self.engine.next_deadline_s(self.now)
        assert deadline_s is None or deadline_s > self.mono, f"the next deadline {deadline_s} is not after {self.mono}"
        assert (state.exchange is None) == (agenda.exchange_deadline_s is None), "every exchange has a limit"
        if draft.to_host is not None:
            assert state.exchange is not None
            assert state.exchange.kind is draft.to_host.kind
        check_money(state, self.rules)
        check_used_once(state)

    # --- time ----------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> "Playbook":
        """Let time pass, with a Tick at every deadline on the way and one at the end."""
        self.drafts = []
        end_s = self.mono + seconds
        for _ in range(10_000):
            deadline_s = self.engine.next_deadline_s(self.now)
            until_s = end_s if deadline_s is None else min(deadline_s, end_s)
            self.wall += round((until_s - self.mono) * 1000)
            self.mono = until_s
            self.feed(e.Tick())
            if until_s == end_s:
                return self
        raise AssertionError("time does not pass: the engine wants to be woken again and again")

    def wake(self) -> "Playbook":
        """Let time pass until the next deadline."""
        deadline_s = self.engine.next_deadline_s(self.now)
        assert deadline_s is not None, "nothing would ever happen again"
        return self.wait(deadline_s - self.mono)

    def until_sent(self, kind: ExchangeKind) -> "Playbook":
        """Let time pass until such an exchange is in flight."""
        for _ in range(100):
            if self.state.exchange is not None and self.state.exchange.kind is kind:
                return self
            self.wake()
        raise AssertionError(f"{kind} is never sent")

    def until(self, text: str) -> "Playbook":
        """Let time pass until a local wall time."""
        return self.wait((wall_ms(text, self.rules.zone) - self.wall) / 1000)

    def skip_time(self, seconds: float) -> "Playbook":
        """Time passes unnoticed."""
        self.wall += round(seconds * 1000)
        self.mono += seconds
        return self

    def set_clock(self, text: str) -> "Playbook":
        """The wall clock jumps."""
        self.wall = wall_ms(text, self.rules.zone)
        return self

    def killed(self, off_s: float = 1.0) -> "Playbook":
        """The process dies and comes back: only the journal is left."""
        self.skip_time(off_s)
        self.engine = Engine(self.rules, self.refold())
        return self >> e.Started()

    # --- views ---------------------------------------------------------------------------------------------------

    @property
    def records(self) -> list[r.Record]:
        return [record for draft in self.drafts for record in draft.records]

    @property
    def alerts(self) -> list[str]:
        return [effect.event for draft in self.drafts for effect in draft.effects if isinstance(effect, Alert)]

    def facts(self, event: str) -> dict[str, str | int]:
        """Of the one alert or note of this name."""
        (found,) = [
            effect.facts
            for draft in self.drafts
            for effect in draft.effects
            if isinstance(effect, Alert | Note) and effect.event == event
        ]
        return found

    def every(self, kind: type) -> list[Any]:
        """All records of a kind in the whole journal."""
        every = [load_record(name, version, text) for _, name, version, text in self.journal]
        return [record for record in every if isinstance(record, kind)]

    def txn(self, number: int = 1, what: str = "sale") -> Transaction:
        found = self.state.find(request_id(number, what))
        assert found is not None
        return found


ADVICE_STANDS = {
    AdviceStatus.OWED: {TxnStatus.STORED},
    AdviceStatus.STUCK: {TxnStatus.STORED},
    AdviceStatus.REFUSED: {TxnStatus.REFUSED},
    AdviceStatus.DOUBTFUL: {TxnStatus.REFUSED},
    AdviceStatus.DONE: {TxnStatus.APPROVED},
    AdviceStatus.CANCELLED: {TxnStatus.CANCELLED},
    AdviceStatus.RESOLVED: {TxnStatus.RESOLVED},
}


def check_money(state: State, with_rules: Rules) -> None:
    """What must be true of every state of every lane."""
    in_flight = state.exchange.request_id if state.exchange else None
    for txn in [*state.transactions.values(), *state.closed.values()]:
        if txn.status is TxnStatus.SENT:
            assert in_flight == txn.request_id, "a request that waits for an answer is in flight"
        reversal = state.reversals.get(txn.request_id)
        if txn.status is TxnStatus.UNKNOWN and with_rules.kinds[txn.kind].reversible:
            assert reversal is not None, "an unknown outcome owes a reversal"
            assert reversal.status in UNENDED, "an unknown outcome owes a reversal"
    for of, advice in state.advices.items():
        told = state.find(of)
        assert told is not None, "an advice keeps its transaction"
        assert told.status in ADVICE_STANDS[advice.status]
        assert of not in state.reversals, "an advice is never reversed"
    for of, reversal in state.reversals.items():
        if reversal.status in UNENDED:
            owing = state.find(of)
            assert owing is not None, "what is owed keeps its transaction"
            assert owing.status is TxnStatus.UNKNOWN


CAPTURES = frozenset({TxnKind.COMPLETION, TxnKind.COMPLETION_NOTICE})
VOIDS = frozenset({TxnKind.VOID, TxnKind.COMPLETION_VOID})
COUNTED = frozenset({TxnStatus.APPROVED, TxnStatus.STORED, TxnStatus.REFUSED})


def check_used_once(state: State) -> None:
    """No hold has two completions that stand, and no sale gives back more than was sold, whatever people found out."""
    every = {**state.closed, **state.transactions}
    first = {of: _sold(every, txn) for of, txn in every.items()}
    voids = [txn for txn in every.values() if txn.kind in VOIDS and txn.status is TxnStatus.APPROVED]
    voided = {txn.original for txn in voids}
    captured = [txn for txn in every.values() if txn.kind in CAPTURES and txn.status in COUNTED]
    holds = [txn.original for txn in captured if txn.request_id not in voided and txn.original in every]
    assert len(holds) == len(set(holds)), "a hold is captured once"
    for of, sale in every.items():
        if sale.kind is not TxnKind.SALE:
            continue
        refunds = [txn for txn in every.values() if txn.kind is TxnKind.REFUND and txn.status is TxnStatus.APPROVED]
        back = [txn for txn in (*voids, *refunds) if first.get(txn.original) == of and txn.found_out is None]
        most = max(txn.counted_minor for other, txn in every.items() if first[other] == of and txn.kind not in VOIDS)
        assert sum(txn.counted_minor for txn in back) <= most, "no sale gives back more than was sold"


def _sold(every: dict[RequestId, Transaction], txn: Transaction) -> RequestId:
    while txn.kind in (TxnKind.TIP, TxnKind.ADJUST) and txn.original in every:
        txn = every[txn.original]
    return txn.request_id


# --- events ----------------------------------------------------------------------------------------------------------


def request_id(number: int, what: str = "sale") -> RequestId:
    return RequestId(f"{TID}/000001/{number:06d}/0200/{what}")


def sale(number: int, amount: int = 1000, card: CardRef = CARD, pin: bool = False, reply: str = "") -> Fed:
    """A terminal's sale with its own trace `number`; answered to 'sale-<number>'."""
    return _requested(TxnKind.SALE, number, amount, card, None, pin, reply or f"sale-{number}")


def void(number: int, of: int, amount: int = 1000, card: CardRef = CARD, reply: str = "") -> Fed:
    pointer = e.OriginalPointer(None, 1, Stan(of))
    return _requested(TxnKind.VOID, number, amount, card, pointer, False, reply or f"void-{number}")


def balance(number: int) -> Fed:
    return _requested(TxnKind.BALANCE, number, 0, CARD, None, False, f"balance-{number}")


def swiped(number: int, amount: int = 1000) -> Fed:
    """A sale with tracks that the terminal encrypted under the keys that it was given."""
    fed = _requested(TxnKind.SALE, number, amount, CARD, None, False, f"sale-{number}")

    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, tracks_encrypted=True, leaves_once=True)

    return event


def with_chip(fed: Fed) -> Fed:
    """The same, with what a chip said."""

    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, chip=True, entry_mode="051")

    return event


def chip_sale(number: int, amount: int = 1000) -> Fed:
    return with_chip(sale(number, amount))


def chip_refused(number: int, amount: int = 1000, icc: str = "") -> e.ReversalRequested:
    """The terminal's own 0400 with the reason that says that the chip refused after the approval."""
    return replace(taken_back(number, amount), reason="96", icc=icc, chip_refused=True)


def refund(number: int, amount: int = 1000, once: bool = False, reply: str = "") -> Fed:
    """A terminal's refund; `once`: it carries what must never leave twice."""
    fed = _requested(TxnKind.REFUND, number, amount, CARD, None, False, reply or f"refund-{number}")

    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, leaves_once=once)

    return event


def refund_of(number: int, of: int, amount: int = 1000, date: str | None = "0302", card: CardRef = CARD) -> Fed:
    """A terminal's refund of its own sale `of`, by what its slip says: RRN and date."""

    def event(play: Playbook) -> e.Event:
        facts = play.txn(of).facts
        assert facts is not None
        pointer = e.OriginalPointer(facts.rrn, None, None, date=date)
        fed = _requested(TxnKind.REFUND, number, amount, card, pointer, False, f"refund-{number}")
        assert callable(fed)
        return fed(play)

    return event


def preauth(number: int, amount: int = 1000, card: CardRef = CARD) -> Fed:
    return _requested(TxnKind.PREAUTH, number, amount, card, None, False, f"preauth-{number}")


def offline_sale(number: int, amount: int = 1000, card: CardRef = CARD) -> Fed:
    """An advice: it has happened already. Answered to 'offline_sale-<number>'."""
    return _requested(TxnKind.OFFLINE_SALE, number, amount, card, None, False, f"offline_sale-{number}")


def refers(
    kind: TxnKind, number: int, of: int | None, amount: int = 1000, code: str | None = None, card: CardRef = CARD
) -> Fed:
    """A request of `kind` that names its original by the terminal's trace `of`, or by approval code and date."""
    trace = (1, Stan(of)) if of is not None else (None, None)
    pointer = e.OriginalPointer(None, *trace, approval_code=code, date="0302" if code else None)
    return _requested(kind, number, amount, card, pointer, False, f"{kind.value}-{number}")


def _requested(
    kind: TxnKind,
    number: int,
    amount: int,
    card: CardRef,
    original: e.OriginalPointer | None,
    pin: bool,
    reply: str,
) -> Fed:
    return lambda play: e.TransactionRequested(
        request_id=request_id(number, kind.value),
        kind=kind,
        amount_minor=Minor(amount),
        terminal_batch=1,
        terminal_stan=Stan(number),
        fingerprint=f"{amount}/{card.digest}",
        entry_mode="051" if pin else "022",
        card=card,
        original=original,
        has_pin=pin,
        reply_to=reply,
        received_s=play.mono,
    )


def taken_back(number: int, amount: int = 1000, what: str = "sale") -> e.ReversalRequested:
    """The terminal's own 0400."""
    return e.ReversalRequested(request_id(number, what), Minor(amount), "98", f"back-{number}")


def terminal_signs_in() -> Fed:
    return lambda play: e.TerminalSignInRequested("keys", play.mono)


def answer_to(
    play: Playbook,
    code: str = "00",
    mac: MacCheck | None = None,
    **changes: Any,
) -> HostAnswer:
    """An answer to what is in flight."""
    exchange = play.state.exchange
    assert exchange is not None, "nothing is in flight"
    maced = exchange.kind in (ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL)
    stan = exchange.stan or 0
    answer = HostAnswer(
        kind=exchange.kind,
        stan=exchange.stan,
        answer_class=CLASSES.get(code, AnswerClass.DECLINE),
        facts=AnswerFacts(code=code, rrn=Rrn(f"{stan:012d}"), scheme="CUP"),
        mac=mac if mac is not None else MacCheck.GOOD if maced else MacCheck.EXEMPT,
    )
    return replace(answer, **changes)


def answered(code: str = "00", mac: MacCheck | None = None, **changes: Any) -> Fed:
    """The host answers what is in flight."""
    return lambda play: e.HostAnswered(answer_to(play, code, mac, **changes))


def late(kind: ExchangeKind, stan: int | None, code: str = "00", **changes: Any) -> Fed:
    """An answer that nobody waits for."""
    facts = AnswerFacts(code=code, scheme="CUP")
    answer = HostAnswer(
        kind, Stan(stan) if stan is not None else None, CLASSES.get(code, AnswerClass.DECLINE), facts, MacCheck.GOOD
    )
    return e.HostAnswered(replace(answer, **changes))


def host_clock(play: Playbook, ahead_s: float = 0.0) -> str:
    moment = datetime.fromtimestamp(play.wall / 1000 + ahead_s, ZoneInfo(play.rules.zone))
    return moment.strftime("%m%d%H%M%S")


def signed_in(batch: int | None = None, keys: str | None = None, ahead_s: float = 0.0) -> Fed:
    """The host answers the sign-in in flight, with fresh keys."""

    def answer(play: Playbook) -> e.Event:
        exchange = play.state.exchange
        assert exchange is not None
        assert exchange.kind is ExchangeKind.SIGN_IN
        return answered(
            wrapped_keys=keys if keys is not None else f"{exchange.stan:048X}",
            batch_number=BatchNumber(batch) if batch is not None else play.state.batch.number,
            host_clock=host_clock(play, ahead_s),
        )(play)

    return answer


def host_totals(
    play: Playbook, domestic: GroupResult = GroupResult.BALANCED, foreign: GroupResult = GroupResult.BALANCED
) -> HostTotals:
    ours = play.state.settlement.totals
    assert ours is not None
    return HostTotals(ours, domestic, foreign)


def balanced() -> Fed:
    return lambda play: answered("", host_totals=host_totals(play))(play)


def unbalanced() -> Fed:
    return lambda play: answered("", host_totals=host_totals(play, GroupResult.UNBALANCED))(play)


def zeros() -> Fed:
    """The host answers as if it had nothing of ours."""
    nothing = HostTotals(Totals(), GroupResult.UNBALANCED, GroupResult.BALANCED)
    return answered("", host_totals=nothing)


# --- expectations ----------------------------------------------------------------------------------------------------


def sent(kind: ExchangeKind, **message: Any) -> Expectation:
    """This exchange has just left."""

    def check(play: Playbook) -> None:
        leaving = [draft.to_host for draft in play.drafts if draft.to_host is not None]
        assert leaving, f"nothing left, expected {kind}; records: {play.records}"
        assert leaving[-1].kind is kind, f"{leaving[-1].kind} left, expected {kind}"
        for name, value in message.items():
            assert getattr(leaving[-1].message, name) == value

    return check


def quiet(play: Playbook) -> None:
    """Nothing has left for the host."""
    leaving = [draft.to_host for draft in play.drafts if draft.to_host is not None]
    assert not leaving, f"left: {leaving}"


def told(reply_to: str, what: str | Refusal) -> Expectation:
    """The terminal was answered: with a host's code, or refused."""

    def check(play: Playbook) -> None:
        answers = {a.reply_to: a.answer for draft in play.drafts for a in draft.to_terminal}
        assert reply_to in answers, f"{reply_to} was not answered; answered: {answers}"
        answer = answers[reply_to]
        if isinstance(what, Refusal):
            assert isinstance(answer, Refused), f"{answer}"
            assert answer.refusal is what, f"{answer}"
        else:
            assert isinstance(answer, Result), f"{answer}"
            assert answer.facts.code == what

    return check


def given_keys(reply_to: str = "keys") -> Expectation:
    def check(play: Playbook) -> None:
        answers = {a.reply_to: a.answer for draft in play.drafts for a in draft.to_terminal}
        assert isinstance(answers.get(reply_to), SignInResult), f"{answers}"

    return check


def not_told(play: Playbook) -> None:
    """No terminal was answered."""
    assert not [answer for draft in play.drafts for answer in draft.to_terminal]


def recorded(kind: type, **fields: Any) -> Expectation:
    """A record of this kind, with these fields, has just become true."""

    def check(play: Playbook) -> None:
        of_kind = [record for record in play.records if isinstance(record, kind)]
        matching = [x for x in of_kind if all(getattr(x, name) == value for name, value in fields.items())]
        assert matching, f"no {kind.__name__} {fields} in {play.records}"

    return check


def not_recorded(kind: type) -> Expectation:
    def check(play: Playbook) -> None:
        assert not [record for record in play.records if isinstance(record, kind)]

    return check


def alerted(event: str) -> Expectation:
    def check(play: Playbook) -> None:
        assert event in play.alerts, f"alerts: {play.alerts}"

    return check


def not_alerted(play: Playbook) -> None:
    assert not play.alerts, f"alerts: {play.alerts}"


def done(ok: bool = True) -> Expectation:
    def check(play: Playbook) -> None:
        effects = [x for draft in play.drafts for x in draft.effects if isinstance(x, CommandDone)]
        assert effects, "no command was answered"
        assert effects[-1].ok is ok, effects[-1].text

    return check


def forgot(number: int, what: str = "sale") -> Expectation:
    """The card of this request is no longer kept in memory."""

    def check(play: Playbook) -> None:
        effects = [x.request_id for draft in play.drafts for x in draft.effects if isinstance(x, ForgetCard)]
        assert request_id(number, what) in effects, f"{effects}"

    return check


# --- beginnings ------------------------------------------------------------------------------------------------------


def ready(with_rules: Rules = RULES, at: str = "2026-03-02 10:00:00") -> Playbook:
    """A lane that is signed in and idle."""
    return Playbook(with_rules, at) >> e.Started() >> e.LinkUp() << sent(ExchangeKind.SIGN_IN) >> signed_in() << quiet


def after_sales(count: int, with_rules: Rules = RULES, at: str = "2026-03-02 10:00:00", amount: int = 1000) -> Playbook:
    """A lane with so many approved sales in its open batch."""
    play = ready(with_rules, at)
    for number in range(1, count + 1):
        play >> sale(number, amount) >> answered()
    return play


SETTLE_NOW = e.SettleNow("command-1", "anna")


def settling(play: Playbook) -> Playbook:
    """Settled by hand, as far as the totals in flight."""
    play >> SETTLE_NOW << done() << sent(ExchangeKind.SIGN_IN)
    return play >> signed_in() << sent(ExchangeKind.TOTALS)


def closed(play: Playbook) -> Playbook:
    """Settled by hand and balanced; the sign-in after the close is in flight."""
    play = settling(play) >> balanced() << sent(ExchangeKind.TRAILER, balanced=True)
    return play >> answered() << recorded(r.BatchClosed) << sent(ExchangeKind.SIGN_IN)
