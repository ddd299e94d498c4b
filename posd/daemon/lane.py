"""One terminal's lane without the waiting: an item of its inbox becomes steps, each of which is first made durable.

`steps` yields; whoever drives it must make a step's rows durable and then call `adopt`, before the step is performed
and before the next one is taken. daemon/runner.py does that with the real journal, simulators/world.py with a simulated
one.
It must never send, write or wait.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.allowance import Allowance
from posd.core.draft import Draft
from posd.core.engine import Engine
from posd.core.originals import newest
from posd.core.payload import dump_record, record_name, record_version
from posd.core.records import AdviceStored, AuthorisationStarted, Record
from posd.core.state import State, Transaction
from posd.daemon.message_rows import incoming_row, outgoing_row
from posd.daemon.past import Past
from posd.daemon.replies import connection_of, refusal, request_of
from posd.daemon.steps import FromHost, FromTerminal, Happened, Item, Step
from posd.daemon.till.orders import FromTill, Wish, asked_again, order_row, peer_of, told
from posd.errors import CannotEncode, CannotEncodeNow, InvariantBroken, KeyTrouble, MalformedMessage
from posd.iso8583.message import Message
from posd.journal.contract import MessageRow, RecordRow, Row
from posd.profiles.contract import Arrived, Material, Order, Outgoing, Profile, Terminal
from posd.security.cards import CardData
from posd.values import Minor, Now, RequestId

RIDING_ROWS_MAX = 64
"""Messages that were read and led to nothing yet wait for the next commit, up to this many."""

ASKED_MAX = 64
"""Messages of the terminal that may wait for their answers; the oldest is then forgotten, and never answered."""

BEGINNINGS = (AuthorisationStarted, AdviceStored)
"""The records under which the sealed facts of a card lie."""

NUMBER_GONE = "its card number is gone, as its time was over (cards.numbers_kept_days); the card is needed again"

UNSAYABLE_MAX = 64
"""More sends than this that cannot be encoded, for one event, is a bug of ours."""


@dataclass(slots=True)
class _Memory:
    """What lives in memory until it is sent, and never longer (P5)."""

    requests: dict[RequestId, Message] = field(default_factory=dict)
    cards: dict[RequestId, CardData] = field(default_factory=dict)
    asked: dict[str, Arrived | Wish] = field(default_factory=dict)
    echoed: Mapping[int, str] | None = None
    riding: list[Row] = field(default_factory=list)


class Lane:
    """An engine with its dialect.

    `sealed_facts` and `highest_request` are as Past has them.
    `unasked_per_minute_max`: echoes of the terminal, and answers that nobody waits for, that change nothing are kept so
    often a minute (D32).
    """

    def __init__(
        self,
        terminal: Terminal,
        engine: Engine,
        profile: Profile,
        digest_key: bytes,
        sealed_facts: Callable[[str], bytes | None],
        highest_request: str | None = None,
        unasked_per_minute_max: int = 10,
    ) -> None:
        self.terminal, self.engine, self.profile = terminal, engine, profile
        self._digest_key = digest_key
        self._past = Past(terminal.tid, sealed_facts, highest_request)
        self._memory = _Memory()
        self._unasked = Allowance(unasked_per_minute_max)
        self.no_sales_because = ""
        """Why nothing new is sent, but for voids (D32); empty: nothing is in the way."""
        self.stopping = False
        """posd ends: nothing new is sent; what was asked before is answered and taken back as ever (D6, D16)."""

    def steps(self, item: Item, now: Now) -> Iterator[Step]:
        """What follows from one item of the inbox. Raises InvariantBroken: the lane has to be fenced (D4)."""
        awaited = isinstance(item, FromHost) and self._is_awaited(item.arrived)
        event = self._read(item, now)
        if event is None:
            return
        for _ in range(UNSAYABLE_MAX):
            draft = self.engine.handle(event, now)
            try:
                outgoing = self._encode(draft)
            except CannotEncode as error:
                for_now = isinstance(error, CannotEncodeNow)
                at_fault = RequestId(error.at_fault) if error.at_fault is not None else None
                event = draft.cannot_encode(str(error), for_now, at_fault)  # D1: only this draft is forgotten
                continue
            echo = isinstance(event, e.TerminalEchoed)
            if not (echo or (isinstance(item, FromHost) and not awaited)) or self._is_kept(draft, echo):
                yield self._step(draft, outgoing)
                return
            self._memory.riding.pop()
            if echo:
                yield Step((), to_terminal=self._answers(draft), draft=draft)
            return
        raise InvariantBroken(f"more than {UNSAYABLE_MAX} messages in a row cannot be encoded")

    def _is_awaited(self, arrived: Arrived) -> bool:
        exchange = self.engine.state.exchange
        return exchange is not None and self.profile.answer_key(arrived) == (exchange.kind, exchange.stan)

    def _is_kept(self, draft: Draft, echo: bool) -> bool:
        """Of an answer that nobody waits for, and of a terminal's echo: what changes something or leads to something.

        Else so many a minute: a host or a terminal in a loop must fill neither the disk nor the log (D32).
        """
        leads = draft.to_host is not None or (bool(draft.to_terminal) and not echo)
        if leads or draft.state != self.engine.state:
            return True
        unsaid = self._unasked.unsaid("terminal" if echo else "host", draft.now)
        if unsaid:
            draft.note("echoes_not_kept" if echo else "answers_not_kept", unsaid=unsaid)
        return unsaid is not None

    def adopt(self, step: Step) -> None:
        """The step's rows are durable: it is true."""
        assert step.draft is not None
        self.engine.adopt(step.draft)
        if step.rows:
            self._memory.riding.clear()
        if step.to_host is not None:
            self._memory.echoed = step.to_host[1].echoed
        for answer in step.draft.to_terminal:  # also those whose answer could not be said
            self._memory.asked.pop(answer.reply_to, None)
        for effect in step.effects:
            if isinstance(effect, fx.ForgetCard):
                self._memory.requests.pop(effect.request_id, None)
                self._memory.cards.pop(effect.request_id, None)

    def knows(self, request_id: RequestId) -> bool:
        """Whether this request was taken before: waiting, sent or answered, in whatever batch (D6)."""
        waits = any(queued.request_id == request_id for queued in self.engine.agenda.queue)
        return waits or self.engine.state.find(request_id) is not None or self._past.was_sent(request_id)

    def forget_cards(self) -> None:
        """Behind a fence nothing is sent on: no card stays in memory for it (P5)."""
        self._memory.requests.clear()
        self._memory.cards.clear()

    def forget_askers(self, connection: str) -> None:
        """The connection is gone: nobody can be answered there. What was asked goes on (D16)."""
        gone = [reply_to for reply_to in self._memory.asked if connection_of(reply_to) == connection]
        for reply_to in gone:
            del self._memory.asked[reply_to]

    def fenced_step(self, item: Item, now: Now) -> Step | None:
        """Behind a fence nothing is applied: what came is kept, and a terminal is told (D4)."""
        match item:
            case FromTerminal(arrived=arrived, reply_to=reply_to):
                refused = fx.ToTerminal(reply_to, fx.Refused(fx.Refusal.FENCED, "the lane is fenced"))
                encoded = refusal(self.profile, arrived, fx.Refusal.FENCED, now)
                rows: tuple[Row, ...] = (self._incoming(arrived, "terminal", now),)
                if encoded is None:
                    return Step(rows)
                out = outgoing_row(self.terminal.tid, encoded, "terminal", now, None, self._key_batch(None))
                return Step((*rows, out), to_terminal=((refused, encoded),))
            case FromTill(reply_to=reply_to):
                refused = fx.ToTerminal(reply_to, fx.Refused(fx.Refusal.FENCED, "the lane is fenced"))
                row = order_row(self.terminal.tid, item, now, self._key_batch(None))
                return Step((row,), to_terminal=((refused, told(refused)),))
            case FromHost(arrived=arrived):
                return Step((self._incoming(arrived, "host", now),))
            case Happened():
                return None
            case _:
                assert_never(item)

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self, item: Item, now: Now) -> e.Event | None:
        match item:
            case Happened(event=event):
                return event
            case FromHost(arrived=arrived):
                self._ride(self._incoming(arrived, "host", now))
                return self._host_event(arrived)
            case FromTerminal(arrived=arrived, reply_to=reply_to, received_s=received_s):
                return self._terminal_event(arrived, reply_to, received_s, now)
            case FromTill():
                return self._till_event(item, now)
            case _:
                assert_never(item)

    def _host_event(self, arrived: Arrived) -> e.Event:
        key = self.profile.answer_key(arrived)
        echoed = self._memory.echoed if self._is_awaited(arrived) else None
        try:
            answer = self.profile.read_answer(arrived, self.terminal, self.engine.state.session, echoed)
        except MalformedMessage as error:
            kind, stan = key if key is not None else (None, None)
            return e.HostUnreadable(str(error), kind, stan)
        return e.HostAnswered(answer)

    def _terminal_event(self, arrived: Arrived, reply_to: str, received_s: float, now: Now) -> e.Event:
        read = self.profile.read_request(
            arrived, self.terminal, self.engine.state.session, self._digest_key, reply_to, received_s
        )
        self._remember_asker(reply_to, arrived)
        request = read.event if isinstance(read.event, e.TransactionRequested) else None
        self._ride(self._incoming(arrived, "terminal", now, request.request_id if request else None))
        if isinstance(read.event, e.ReversalRequested) and self._is_too_old(read.event):
            because = "its original was settled long ago; ask the acquirer for a refund instead"
            return e.RequestUnusable(fx.Refusal.NOT_REVERSIBLE.value, because, reply_to, None)
        if request is None or not self._is_new(request.request_id):
            return read.event
        refused = self._refused_here(request)
        if refused is None and read.card is not None:
            self._memory.requests[request.request_id] = arrived.message
            self._memory.cards[request.request_id] = read.card
        return refused or request

    def _till_event(self, item: FromTill, now: Now) -> e.Event:
        wish, reply_to = item.wish, item.reply_to
        self._remember_asker(reply_to, wish)
        self._ride(order_row(self.terminal.tid, item, now, self._key_batch(None)))
        if not isinstance(wish, Order):
            return e.TillConfirmed(wish.request_id, reply_to)
        waits = any(queued.request_id == wish.request_id for queued in self.engine.agenda.queue)
        if waits or self.engine.state.find(wish.request_id) is not None:
            return asked_again(wish, item)
        original = self.engine.state.find(wish.original) if wish.original is not None else None
        try:
            card = wish.card or (self._facts_of((original,)).get(original.request_id) if original else None)
        except CannotEncode as error:
            return e.RequestUnusable(fx.Refusal.NO_ORIGINAL.value, str(error), reply_to, wish.request_id)
        order = replace(wish, card=card, amount_minor=wish.amount_minor or self._whole(original))
        read = self.profile.read_order(order, original, self._digest_key, reply_to, item.received_s)
        request = read.event if isinstance(read.event, e.TransactionRequested) else None
        refused = self._refused_here(request) if request is not None else None
        if request is not None and refused is None and read.card is not None and read.message is not None:
            self._memory.requests[request.request_id] = read.message
            self._memory.cards[request.request_id] = read.card
        return refused or read.event

    def _whole(self, original: Transaction | None) -> Minor | None:
        """All of what is meant, as it counts by now, with its tip."""
        return newest(self.engine.state, self.engine.rules, original).counted_minor if original is not None else None

    def _refused_here(self, request: e.TransactionRequested) -> e.RequestUnusable | None:
        """What the state cannot know of a new request: a long closed batch, a full disk."""
        why, because = fx.Refusal.BLOCKED, self.no_sales_because
        if self._past.was_sent(request.request_id):
            why, because = fx.Refusal.KEY_REUSED, "this request was sent in a batch that is long closed"
        elif self.engine.rules.kinds[request.kind].takes_back:
            because = ""  # a void gives money back
        if self.stopping and not because:
            why, because = fx.Refusal.NOT_SENT, "posd is stopping"
        return e.RequestUnusable(why.value, because, request.reply_to, request.request_id) if because else None

    def _remember_asker(self, reply_to: str, arrived: Arrived | Wish) -> None:
        self._memory.asked[reply_to] = arrived
        while len(self._memory.asked) > ASKED_MAX:
            del self._memory.asked[next(iter(self._memory.asked))]

    def _is_new(self, request_id: RequestId) -> bool:
        """A repeat must not replace what the first one brought, nor be remembered for ever."""
        known = self.engine.state.find(request_id) is not None
        return not known and request_id not in self._memory.requests

    def _is_too_old(self, event: e.ReversalRequested) -> bool:
        """In the journal and no longer in the state: 25 would tell the terminal that nothing was sold (D33)."""
        meant = (event.original, *event.or_originals)
        return not any(map(self._is_remembered, meant)) and any(map(self._past.was_sent, meant))

    def _is_remembered(self, of: RequestId) -> bool:
        waits = any(queued.request_id == of for queued in self.engine.agenda.queue)
        return waits or self.engine.state.find(of) is not None or of in self.engine.state.refused

    # --- encoding ----------------------------------------------------------------------------------------------

    def _encode(self, draft: Draft) -> Outgoing | None:
        if draft.to_host is None:
            return None
        message = draft.to_host.message
        material = Material(self._memory.requests, self._cards(message))
        return self.profile.encode(message, self.terminal, draft.state.session, material)

    def _cards(self, message: fx.HostMessage) -> Mapping[RequestId, CardData]:
        """The facts of the cards that this message speaks of: from memory, else opened from the journal (D1)."""
        match message:
            case fx.SendReversal(transaction=txn) | fx.SendAdvice(transaction=txn) | fx.SendChipDetail(transaction=txn):
                return self._facts_of((txn,))
            case fx.SendUpload(transactions=transactions):
                return self._facts_of(transactions)
            case _:
                return {}

    def _facts_of(self, transactions: tuple[Transaction, ...]) -> dict[RequestId, CardData]:
        cards = {}
        for txn in transactions:
            if self.engine.state.numbers_gone(txn.batch):
                raise CannotEncode(NUMBER_GONE)
            try:
                card = self._memory.cards.get(txn.request_id) or self._past.card(txn.request_id)
            except KeyTrouble as error:
                raise CannotEncode(str(error), txn.request_id) from None
            if card is not None:
                cards[txn.request_id] = card
        return cards

    def _answers(self, draft: Draft) -> tuple[tuple[fx.ToTerminal, Outgoing], ...]:
        """Those answers whose asker is still there."""
        encoded = []
        for answer in draft.to_terminal:
            request = self._memory.asked.get(answer.reply_to)
            if request is None:
                continue
            if not isinstance(request, Arrived):
                encoded.append((answer, told(answer)))
                continue
            try:
                outgoing = self.profile.encode_answer(request, answer, self.terminal, draft.state.session, draft.now)
            except CannotEncode as error:
                draft.alert("cannot_encode_answer", request_id=request_of(answer) or "", because=str(error))
                continue
            encoded.append((answer, outgoing))
        return tuple(encoded)

    # --- rows --------------------------------------------------------------------------------------------------

    def _step(self, draft: Draft, outgoing: Outgoing | None) -> Step:
        answers = self._answers(draft)
        rows: list[Row] = [self._record_row(record, draft) for record in draft.records]
        if outgoing is not None and draft.to_host is not None:
            rows.append(self._outgoing(outgoing, "host", draft, draft.to_host.request_id))
        for answer, encoded in answers:
            rows.append(self._outgoing(encoded, peer_of(encoded), draft, request_of(answer)))
        if rows or len(self._memory.riding) >= RIDING_ROWS_MAX:
            rows = [*self._memory.riding, *rows]
        to_host = (draft.to_host, outgoing) if draft.to_host is not None and outgoing is not None else None
        return Step(tuple(rows), tuple(draft.effects), to_host, answers, draft)

    def _ride(self, row: Row) -> None:
        """What came in is kept with the next commit: it explains nothing that has left yet."""
        self._memory.riding.append(row)

    def _outgoing(self, outgoing: Outgoing, peer: str, draft: Draft, request_id: RequestId | None) -> MessageRow:
        key_batch = self._key_batch(request_id, draft.state)
        return outgoing_row(self.terminal.tid, outgoing, peer, draft.now, request_id, key_batch)

    def _key_batch(self, request_id: RequestId | None, state: State | None = None) -> int:
        """With which batch a row's card number is kept, and goes: that of its request, however late it comes (D19)."""
        state = state or self.engine.state
        txn = state.find(request_id) if request_id is not None else None
        return txn.batch if txn is not None and not state.numbers_gone(txn.batch) else state.batch.identity

    def _record_row(self, record: Record, draft: Draft) -> RecordRow:
        name = record_name(record)
        request_id = getattr(record, "request_id", None)
        self._past.note(request_id)
        txn = self.engine.state.find(request_id) if request_id is not None else None
        secret = None
        if isinstance(record, BEGINNINGS) and (card := self._memory.cards.get(record.request_id)):
            secret = card.facts()
        return RecordRow(
            tid=self.terminal.tid,
            kind=name,
            version=record_version(name),
            at_ms=draft.now.wall_ms,
            payload=dump_record(record),
            request_id=request_id,
            stan=getattr(record, "stan", txn.stan if txn else None),
            rrn=getattr(getattr(record, "facts", None), "rrn", None),
            batch=getattr(record, "batch_number", txn.batch_number if txn else self.engine.state.batch.number),
            secret=secret,
            key_batch=self._key_batch(request_id, draft.state),
        )

    def _incoming(self, arrived: Arrived, peer: str, now: Now, request_id: RequestId | None = None) -> MessageRow:
        masked = self.profile.masked(arrived.message)
        known = request_id or self._request_in_flight(arrived, peer)
        batch = self.profile.batch_told(arrived.message)
        return incoming_row(self.terminal.tid, arrived, masked, peer, now, known, batch, self._key_batch(known))

    def _request_in_flight(self, arrived: Arrived, peer: str) -> RequestId | None:
        """An answer of the host belongs to the request that waits for it."""
        exchange = self.engine.state.exchange
        if peer != "host" or exchange is None:
            return None
        return exchange.request_id if self.profile.answer_key(arrived) == (exchange.kind, exchange.stan) else None
