"""The verbs of the JSON door: POST and GET transactions, confirm, settle, health, events, and the document of all this.

An order has an Idempotency-Key, which is its id for ever: asked again it is answered from the state (D6). Card numbers
come in the body of an order only, and go nowhere but to the lane. It must never decide about money.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UnsetType

from posd.core import events as e
from posd.core.rules import TxnKind
from posd.daemon.control.roles import Role
from posd.daemon.control.sight import RunnerAt, Sight
from posd.daemon.fence import BUGS, because
from posd.daemon.log import alert
from posd.daemon.runner import COMMANDS_REMEMBERED
from posd.daemon.shown.questions import answer, no_terminal
from posd.daemon.station_lane import Denied
from posd.daemon.till import events as till_events
from posd.daemon.till import views as till_views
from posd.daemon.till.body import BadBody, canonical, cards_in, minor_of, read_empty, read_order
from posd.daemon.till.caller import DOOR, Tell
from posd.daemon.till.http import HttpRequest
from posd.daemon.till.ids import holds_number, key_of, looks_like_card, request_of_id
from posd.daemon.till.openapi import LISTED_MAX, document
from posd.daemon.till.orders import Confirmation, Told, till_request
from posd.daemon.till.problem import EVENT_STREAM, HttpResponse, as_json, problem, refused
from posd.daemon.till.schema import (
    AnyOrder,
    CompletionOrder,
    Empty,
    NamedPreauth,
    NamedSale,
    OfflineSaleOrder,
    PreauthVoidOrder,
    RefundOrder,
    SaleOrder,
    SettlementAccepted,
    Transaction,
    TransactionList,
)
from posd.daemon.till.side import TillSide
from posd.errors import ConfigError, PosdError
from posd.profiles.contract import Order, Receipt
from posd.security.cards import CardData, keyed_digest
from posd.values import Minor, RequestId, Tid

STREAMS_MAX = 8
LISTED = 100
LIST_FILTERS = {"batch": int, "status": str, "limit": int}
_NUMBER = re.compile(r"[0-9]{1,9}\Z")


class Refusal(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True, slots=True)
class Place:
    """What the API needs of its surroundings. `journal`: its folder; `head`: the newest row's sequence."""

    control: Sight
    side: TillSide
    runners: Mapping[Tid, RunnerAt]
    digest_key: bytes
    journal: Path
    head: Callable[[], int]
    zone: str
    cards_accepted: bool
    tell: Tell


Verb = Callable[[HttpRequest, Tid, str], Awaitable[HttpResponse]]


class TillApi:
    """The handler of a TillDoor."""

    def __init__(self, around: Place) -> None:
        self._place = around
        self._streams = 0
        self._accepted: dict[str, SettlementAccepted] = {}
        self._document = as_json(200, document(around.cards_accepted, list(around.runners)))

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Every request gets an answer; what only a bug of ours can raise is one too, and alerted (D4)."""
        try:
            return await self._route(request)
        except Refusal as refusal:
            return refusal.response
        except BadBody as bad:
            return problem(422 if bad.readable else 400, "bad_body", str(bad), where=bad.where)
        except ConfigError as error:
            return problem(400, "bad_request", str(error))
        except BUGS as error:
            alert("till_request_failed", because=because(error), exc_info=error)
            text = "a fault of posd's own; see its log, then ask what became of it: GET the transaction by its key"
            return problem(500, "fault", text)

    # --- routes ----------------------------------------------------------------------------------------------------

    async def _route(self, request: HttpRequest) -> HttpResponse:
        verbs, tid, name = self._find(request.path)
        verb = verbs.get(request.method)
        if verb is None:
            allowed = ", ".join(sorted(verbs))
            text = f"this path knows {allowed} only"
            return problem(405, "method_not_allowed", text, headers=(("allow", allowed),))
        self._require(request)
        return await verb(request, tid, name)

    def _require(self, request: HttpRequest) -> None:
        """Reading is viewing; every POST orders, confirms or settles. Raises Refusal."""
        wanted, caller = Role.VIEW if request.method == "GET" else Role.OPERATE, request.caller
        if wanted in caller.roles:
            return
        self._place.tell(Denied(caller.who, DOOR, f"{request.method} {request.path[-1]}", wanted.value))
        text = f"{caller.who} may only look; give it role: {wanted.value} in till.tokens, or use another token"
        raise Refusal(problem(403, "not_allowed", text, where="Authorization", sent=False))

    def _find(self, path: tuple[str, ...]) -> tuple[Mapping[str, Verb], Tid, str]:
        """What a path knows, and the terminal and transaction that it names. Raises Refusal."""
        match path:
            case ("v1", "health"):
                return {"GET": self._health}, Tid(""), ""
            case ("v1", "openapi.json"):
                return {"GET": self._openapi}, Tid(""), ""
            case ("v1", "events"):
                return {"GET": self._events}, Tid(""), ""
            case ("v1", "terminals", tid, "transactions"):
                return {"GET": self._list, "POST": self._order}, self._tid(tid), ""
            case ("v1", "terminals", tid, "transactions", name):
                return {"GET": self._show}, self._tid(tid), name
            case ("v1", "terminals", tid, "transactions", name, "confirm"):
                return {"POST": self._confirm}, self._tid(tid), name
            case ("v1", "terminals", tid, "settlements"):
                return {"POST": self._settle}, self._tid(tid), ""
        raise Refusal(problem(404, "no_such_path", "there is no such path; GET /v1/openapi.json names them all"))

    def _tid(self, tid: str) -> Tid:
        if Tid(tid) not in self._place.runners:
            raise Refusal(problem(404, "unknown_terminal", str(no_terminal(tid, self._place.runners)), where="tid"))
        return Tid(tid)

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _openapi(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        _no_query(request)
        return self._document

    async def _health(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        _no_query(request)
        control = self._place.control
        everything = control.everything()
        status = answer("status", {}, everything, control.posd())
        return as_json(200, till_views.health(everything, status))

    async def _list(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        control = self._place.control
        asked = {"tid": tid, "limit": LISTED, **_query(request, LIST_FILTERS)}
        if asked["limit"] > LISTED_MAX:
            raise Refusal(problem(400, "bad_query", f"a list has at most {LISTED_MAX} transactions", where="limit"))
        try:
            found = answer("txn.list", asked, control.everything(), control.posd())
        except ConfigError as error:
            raise Refusal(problem(400, "bad_query", str(error))) from None
        everyone = [self._seen(tid, RequestId(view["request_id"])) for view in found["transactions"]]
        return as_json(200, TransactionList([one for one in everyone if one is not None], found["left_out"]))

    async def _show(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        _no_query(request)
        request_id = self._named(tid, name)
        seen = self._seen(tid, request_id)
        if seen is None and self._place.side.is_undecided(tid, request_id):
            text = "it waits for its turn and may still be sent; ask again, or order it again with the same key"
            raise Refusal(problem(409, "undecided", text, where="id"))
        if seen is None:
            raise Refusal(_not_found())
        return as_json(200, seen)

    def _seen(self, tid: Tid, request_id: RequestId) -> Transaction | None:
        runner = self._place.runners[tid]
        state = runner.lane.engine.state
        txn = state.find(request_id)
        return till_views.transaction(txn, state, self._place.control.around(runner)) if txn is not None else None

    def _named(self, tid: Tid, name: str) -> RequestId:
        request_id = request_of_id(tid, name)
        if request_id is None:
            raise Refusal(_not_found())
        return request_id

    async def _events(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        """From the header Last-Event-ID, or `after` in the query; else from now on."""
        asked = _query(request, {"after": str})
        given = request.headers.get("last-event-id", asked.get("after"))
        head = self._place.head()
        try:
            after = till_events.place(str(given), head) if given is not None else head
        except till_events.BadPlace as error:
            raise Refusal(problem(400, "bad_place", str(error), where="Last-Event-ID")) from None
        if self._streams >= STREAMS_MAX:
            text = f"{STREAMS_MAX} streams are open already; close one"
            raise Refusal(problem(503, "too_many_streams", text, headers=(("retry-after", "5"),)))
        return HttpResponse(200, content_type=EVENT_STREAM, stream=self._counted(after))

    async def _counted(self, after: int) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        parts = till_events.stream(self._place.journal, after, self._place.head, self._place.zone)
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
        except PosdError as error:  # a read that failed is no reason to end what is written
            alert("till_events_ended", because=str(error))
        finally:
            self._streams -= 1

    # --- orders ------------------------------------------------------------------------------------------------------

    async def _order(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        _no_query(request)
        key = _key(request)
        _want_json(request)
        wanted = read_order(request.body)
        self._refuse_cards(wanted, key)
        order = self._order_of(tid, key, wanted)
        said = await self._place.side.ask(tid, order, request.body, request.received_s, request.caller.who)
        return self._answer(tid, order.request_id, said)

    def _refuse_cards(self, wanted: AnyOrder, key: str) -> None:
        card = cards_in(wanted)
        if card is not None and not self._place.cards_accepted:
            text = "this posd takes no card data from tills; name a sale by 'original', or set till.card_data: accepted"
            raise Refusal(problem(403, "card_data_refused", text, where="$.card", sent=False))
        reference = "" if isinstance(wanted.reference, UnsetType) else wanted.reference
        for where, text in (("Idempotency-Key", key), ("$.reference", reference)):
            if looks_like_card(text) or (card is not None and holds_number(text, card.number)):
                detail = "it looks as if it held a card number, and it is kept in the clear; use a UUID, or add letters"
                raise Refusal(problem(400, "looks_like_card", detail, where=where, sent=False))

    def _order_of(self, tid: Tid, key: str, wanted: AnyOrder) -> Order:
        """The order in the core's words; its digest is of all that was said, however it was written (D6)."""
        card, original = cards_in(wanted), getattr(wanted, "original", None)
        tip = wanted.tip if isinstance(wanted, SaleOrder) else None
        told = wanted.approval_code if isinstance(wanted, OfflineSaleOrder) else None
        return Order(
            request_id=till_request(tid, key),
            kind=TxnKind(str(wanted.__struct_config__.tag)),
            digest=keyed_digest(self._place.digest_key, canonical(wanted).decode("ascii")),
            amount_minor=Minor(minor_of(wanted.amount)) if isinstance(wanted.amount, str) else None,
            card=CardData(pan=card.number, expiry=card.expiry) if card is not None else None,
            original=self._named(tid, original) if isinstance(original, str) else None,
            receipt=_receipt(wanted),
            reference=wanted.reference if isinstance(wanted.reference, str) else "",
            tip_minor=Minor(minor_of(tip)) if isinstance(tip, str) else None,
            approval_code=told if isinstance(told, str) else "",
        )

    async def _confirm(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        _no_query(request)
        if request.body:
            _want_json(request)
        read_empty(request.body, Empty)
        request_id = self._named(tid, name)
        said = await self._place.side.ask(
            tid, Confirmation(request_id), request.body, request.received_s, request.caller.who
        )
        return self._answer(tid, request_id, said)

    def _answer(self, tid: Tid, request_id: RequestId, said: Told | None) -> HttpResponse:
        seen = self._seen(tid, request_id)
        if said is None:
            text = "no answer in the time that a till waits; ask again with the same Idempotency-Key, or GET it"
            return problem(504, "no_answer_yet", text, transaction=seen)
        if said.refusal:
            return refused(said.refusal, said.because, None if said.refusal == "key_reused" else seen)
        if seen is None:  # its batch was closed, and another one after it, between the answer and this line
            return problem(504, "no_answer_yet", f"the host answered {said.code}; see posd txn show", sent=True)
        return as_json(200, seen)

    async def _settle(self, request: HttpRequest, tid: Tid, name: str) -> HttpResponse:
        """Due now, once for each key; it goes on by itself (D36)."""
        _no_query(request)
        key = _key(request)
        if request.body:
            _want_json(request)
        read_empty(request.body, Empty)
        if looks_like_card(key):
            raise Refusal(problem(400, "looks_like_card", "use a UUID as the key", where="Idempotency-Key"))
        runner = self._place.runners[tid]
        command_id = f"till:{tid}:{key}"
        if command_id in self._accepted:
            return as_json(202, self._accepted[command_id])
        who = request.caller.who
        done = await runner.command(e.SettleNow(command_id, who.name, who))
        state = runner.lane.engine.state
        if not done.ok:
            return problem(409, "not_settled", f"{done.text}; see GET /v1/health")
        phase = state.settlement.phase.value
        return as_json(202, self._accept(command_id, SettlementAccepted(tid, state.batch.number, phase, done.text)))

    def _accept(self, command_id: str, accepted: SettlementAccepted) -> SettlementAccepted:
        """What is said of this key, now and when it is asked again: the batch that was meant may be closed by then."""
        first = self._accepted.setdefault(command_id, accepted)
        while len(self._accepted) > COMMANDS_REMEMBERED:
            del self._accepted[next(iter(self._accepted))]
        return first


# --- what requests say ---------------------------------------------------------------------------------------------


def _key(request: HttpRequest) -> str:
    """The Idempotency-Key. Raises Refusal."""
    given = request.headers.get("idempotency-key")
    key = key_of(given) if given is not None and "idempotency-key" not in request.repeated else None
    if key is None:
        text = "send one header Idempotency-Key: 1 to 64 letters, digits, '.', '_' or '-', new for each order (a UUID)"
        raise Refusal(problem(400, "no_key", text, where="Idempotency-Key", sent=False))
    return key


def _receipt(wanted: AnyOrder) -> Receipt | None:
    """The original as its receipt names it."""
    if isinstance(wanted, RefundOrder) and isinstance(wanted.sale, NamedSale):
        return Receipt(wanted.sale.rrn, wanted.sale.date, wanted.sale.approval_code or "")
    if isinstance(wanted, CompletionOrder | PreauthVoidOrder) and isinstance(wanted.preauth, NamedPreauth):
        return Receipt("", wanted.preauth.date, wanted.preauth.approval_code)
    return None


def _want_json(request: HttpRequest) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = "the body must be JSON: send the header 'Content-Type: application/json'"
        raise Refusal(problem(415, "not_json", text, where="Content-Type", sent=False))


def _no_query(request: HttpRequest) -> None:
    _query(request, {})


def _query(request: HttpRequest, known: Mapping[str, type]) -> dict[str, Any]:
    """The parameters of the query. Raises Refusal: unknown, twice, or of the wrong type."""
    found: dict[str, Any] = {}
    for name, text in request.query:
        if name not in known or name in found:
            what = "stands there twice" if name in found else "is not known here"
            text = f"the parameter {name[:40]!r} {what}; there are: {', '.join(known) or 'none'}"
            raise Refusal(problem(400, "bad_query", text, where=name[:40]))
        if known[name] is int and not _NUMBER.match(text):
            raise Refusal(problem(400, "bad_query", f"the parameter {name!r} is a whole number", where=name))
        found[name] = int(text) if known[name] is int else text
    return found


def _not_found() -> HttpResponse:
    text = (
        "nothing of that name was sent in the last batches (older ones: posd txn show); who is not sure whether an "
        "order came, orders it again with the same key"
    )
    return problem(404, "no_such_transaction", text, where="id")
