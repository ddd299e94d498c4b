"""A shop for the tests of views, control and command line: real engines, a host that a test answers for, a journal."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

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
from posd.core.effects import Alert, CommandDone
from posd.core.engine import Engine
from posd.core.fold.apply import opened
from posd.core.payload import dump_record, record_name, record_version
from posd.core.rules import Gaps, Rules, TxnKind
from posd.daemon.control.access import Access
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.shown.certificate_view import WatchedCertificate
from posd.daemon.shown.lately import Lately
from posd.daemon.shown.settings_view import SettingsShown
from posd.journal.contract import RecordRow
from posd.profiles.unionpay.codes import classify
from posd.profiles.unionpay.data import KINDS, REVERSAL_REASONS
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.settings import AccessSettings
from posd.values import BatchNumber, CardRef, Minor, Now, RequestId, Rrn, Stan, Tid

TID = Tid("10000001")
OTHER_TID = Tid("10000002")
ZONE = "Asia/Shanghai"
RULES = Rules(
    kinds=KINDS,
    due_times=(time(23, 0),),
    zone=ZONE,
    reversal_reasons=REVERSAL_REASONS,
    reversal_attempts_max=2,
    settle_retry=Gaps(60.0, 900.0),
)
EVERYTHING = Access(AccessSettings(), lambda denied: None)
"""Who is let in by the socket may do everything, as without a section `access`."""
CARD = CardRef("622848******0017", "d1")
Remember = Callable[[list[RecordRow]], None]


def wall_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def request_id(number: int, tid: str = TID) -> RequestId:
    return RequestId(f"{tid}/000001/{number:06d}/0200/000000")


@dataclass
class Hands:
    """Both clocks, moved by hand."""

    wall: int = field(default_factory=lambda: wall_ms("2026-03-02 10:00:00"))
    mono: float = 1000.0

    def now(self) -> Now:
        return Now(self.wall, self.mono)

    def wait(self, seconds: float) -> None:
        self.wall += round(seconds * 1000)
        self.mono += seconds


@dataclass
class Lane:
    engine: Engine
    profile: UnionPay = field(default_factory=lambda: UnionPay(Knobs()))


class Runner:
    """What LaneRunner is to its watchers: adopts at once; `remember` is given the rows first."""

    def __init__(self, clock: Hands, tid: Tid = TID, rules: Rules = RULES, remember: Remember = lambda rows: None):
        self.clock, self._remember = clock, remember
        self.fenced = ""
        self.lately = Lately()
        self.commands: dict[str, CommandDone] = {}
        self.asked: list[Any] = []
        self.effects: list[Any] = []
        self._changed = asyncio.Event()
        first = r.LaneOpened(tid, Stan(1), BatchNumber(7))
        self._keep(tid, [first])
        self.lane = Lane(Engine(rules, opened(first, clock.wall)))
        self._numbers = itertools.count(1)

    # --- as the daemon sees it -----------------------------------------------------------------------------------

    async def command(self, event: Any) -> CommandDone:
        if event.command_id not in self.commands:
            self.asked.append(event)
            done = [effect for effect in self.happen(event) if isinstance(effect, CommandDone)]
            self.commands[event.command_id] = done[0]
        return self.commands[event.command_id]

    async def wait_change(self) -> None:
        await self._changed.wait()

    # --- as the test drives it -----------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        return self.lane.engine.state

    def happen(self, event: e.Event) -> list[Any]:
        draft = self.lane.engine.handle(event, self.clock.now())
        self._keep(self.state.tid, draft.records)
        self.lane.engine.adopt(draft)
        self.effects += draft.effects
        for effect in draft.effects:
            if isinstance(effect, Alert):
                self.lately.note(effect.event, self.clock.wall, str(effect.facts.get("request_id", "")))
        self._changed.set()
        self._changed = asyncio.Event()
        return draft.effects

    def _keep(self, tid: Tid, records: list[Any]) -> None:
        rows = []
        for record in records:
            name = record_name(record)
            of = getattr(record, "request_id", None)
            known = self.state.find(of) if of and hasattr(self, "lane") else None
            rows.append(
                RecordRow(
                    tid=tid,
                    kind=name,
                    version=record_version(name),
                    at_ms=self.clock.wall,
                    payload=dump_record(record),
                    request_id=of,
                    stan=getattr(record, "stan", known.stan if known else None),
                    rrn=getattr(getattr(record, "facts", None), "rrn", None),
                    batch=getattr(record, "batch_number", known.batch_number if known else self._open_number()),
                )
            )
        if rows:
            self._remember(rows)

    def _open_number(self) -> int | None:
        return self.state.batch.number if hasattr(self, "lane") else None

    def opens(self) -> "Runner":
        """Started, the line is up, signed in."""
        self.happen(e.Started())
        self.happen(e.LinkUp())
        return self.signs_in()

    def signs_in(self) -> "Runner":
        assert self.state.exchange.kind is ExchangeKind.SIGN_IN
        return self.answers("00", wrapped_keys="A1" * 40, batch_number=self.state.batch.number)

    def sells(self, amount: int = 1000, code: str | None = "00", kind: TxnKind = TxnKind.SALE) -> RequestId:
        """A sale that the host answers with `code`; None: it does not, and the reply limit passes."""
        of = self.asks(amount, kind)
        if code is None:
            self.keeps_silent()
        else:
            self.answers(code)
        return of

    def asks(self, amount: int, kind: TxnKind) -> RequestId:
        """The terminal asks, or tells of what has happened."""
        number = next(self._numbers)
        of = request_id(number, self.state.tid)
        self.happen(
            e.TransactionRequested(
                request_id=of,
                kind=kind,
                amount_minor=Minor(amount),
                terminal_batch=1,
                terminal_stan=Stan(number),
                fingerprint=f"{amount}/d1",
                entry_mode="022",
                card=CARD,
                original=None,
                has_pin=False,
                reply_to=f"sale-{number}",
                received_s=self.clock.mono,
            )
        )
        return of

    def tells(self, amount: int = 400) -> RequestId:
        """An offline sale: stored, and not delivered yet."""
        return self.asks(amount, TxnKind.OFFLINE_SALE)

    def keeps_silent(self) -> "Runner":
        """The host does not answer what is in flight."""
        self.clock.wait(30.0)
        self.happen(e.Tick())
        return self

    def answers(self, code: str = "00", **more: Any) -> "Runner":
        """The host answers what is in flight."""
        exchange = self.state.exchange
        assert exchange is not None
        maced = exchange.kind in (ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL)
        answer = HostAnswer(
            kind=exchange.kind,
            stan=exchange.stan,
            answer_class=classify(code) if code else AnswerClass.APPROVE,
            facts=AnswerFacts(code, rrn=Rrn(f"{exchange.stan or 0:012d}"), scheme="CUP"),
            mac=MacCheck.GOOD if maced else MacCheck.EXEMPT,
            **more,
        )
        self.happen(e.HostAnswered(answer))
        return self

    def agrees(self, result: GroupResult = GroupResult.BALANCED) -> "Runner":
        """The host's 0510."""
        totals: Totals = self.state.settlement.totals
        return self.answers("", host_totals=HostTotals(totals, result, GroupResult.BALANCED))

    def sticks(self) -> RequestId:
        """A sale without an answer, whose reversal has no answer either until it is stuck."""
        of = self.sells(code=None)
        for _ in range(RULES.reversal_attempts_max):
            if self.state.exchange is None:
                self.clock.wait(400.0)
                self.happen(e.Tick())
            self.keeps_silent()
        assert self.state.reversals[of].status == "stuck"
        return of


@dataclass
class Shop:
    """What Daemon is to Control."""

    lanes: dict[Tid, Runner]
    clock: Hands
    link_up: bool = True
    link_why: str = ""
    routes: list[RouteShown] = field(default_factory=list)
    doors: list[DoorShown] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    settings_shown: SettingsShown = field(default_factory=SettingsShown)
    certificates: list[WatchedCertificate] = field(default_factory=list)
    started_at_ms: int = field(default_factory=lambda: wall_ms("2026-03-02 09:00:00"))


def a_shop(*tids: Tid, remember: Remember = lambda rows: None) -> Shop:
    clock = Hands()
    lanes = {tid: Runner(clock, tid, remember=remember).opens() for tid in tids or (TID,)}
    return Shop(lanes, clock)


def strings_in(value: object) -> Iterator[str]:
    """Every text in a view."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, str):
        yield value
