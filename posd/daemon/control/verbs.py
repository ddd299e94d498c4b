"""What the verbs of the control socket do (D36): questions are answered from adopted states, commands are put to the
terminals' lanes as events with the client's id, so that a repeated wish acts once.

It must never change a state itself, and the leaving of a client must never cancel what was begun: `settle` only
watches.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from posd.core import events as e
from posd.core import management
from posd.core.effects import CommandDone
from posd.core.engine import Engine
from posd.core.settlement import CLOSING
from posd.core.state import ReversalStatus, SettlementPhase, State
from posd.daemon.control.arguments import COMMANDS, a_batch_number, who, why
from posd.daemon.control.key_verbs import KEY_VERBS, KeyVerbs
from posd.daemon.control.server import ControlFailed, Reply, Request
from posd.daemon.doors.door_view import DoorShown, door_findings, doors_view
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.log import log
from posd.daemon.shown.certificate_view import WatchedCertificate, certificate_findings, certificates_view
from posd.daemon.shown.findings import link_down, machine_trouble
from posd.daemon.shown.lately import Lately
from posd.daemon.shown.questions import QUESTIONS, Seen, answer, checked, chosen, find_one, version
from posd.daemon.shown.route_view import active_route, route_findings, routes_view
from posd.daemon.shown.settings_view import SettingsShown, settings_findings, settings_view
from posd.daemon.shown.views import Around, View, reversal_view
from posd.daemon.shown.watch import Watched, watch
from posd.errors import ConfigError
from posd.profiles.codes import flagged, meanings
from posd.profiles.contract import Profile
from posd.values import BATCH_NUMBER_MAX, STAN_MAX, BatchNumber, Now, RequestId, Stan, Tid

VERBS = (*QUESTIONS, *COMMANDS, *KEY_VERBS)


class LaneAt(Protocol):
    """A terminal's lane, as far as it is looked at here."""

    @property
    def engine(self) -> Engine: ...
    @property
    def profile(self) -> Profile: ...


class RunnerAt(Protocol):
    """What runs a lane (daemon/runner.py)."""

    @property
    def lane(self) -> LaneAt: ...
    @property
    def fenced(self) -> str: ...
    @property
    def lately(self) -> Lately: ...
    async def command(self, event: e.Command) -> CommandDone: ...
    async def wait_change(self) -> None: ...


class Clock(Protocol):
    """The two clocks."""

    def now(self) -> Now: ...


class DaemonAt(Protocol):
    """The daemon, as far as it is looked at here (daemon/daemon.py)."""

    @property
    def lanes(self) -> Mapping[Tid, RunnerAt]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def link_up(self) -> bool: ...
    @property
    def link_why(self) -> str: ...
    @property
    def routes(self) -> Sequence[RouteShown]: ...
    @property
    def doors(self) -> Sequence[DoorShown]: ...
    @property
    def started_at_ms(self) -> int: ...
    @property
    def troubles(self) -> list[str]: ...
    @property
    def settings_shown(self) -> SettingsShown: ...
    @property
    def certificates(self) -> Sequence[WatchedCertificate]: ...


class ArchivistAt(Protocol):
    """Who moves closed months out of the journal's database (daemon/archive/beside.py)."""

    def archive(self, before: str | None) -> AsyncIterator[tuple[Literal["progress", "result"], View]]: ...


class Control:
    """The handler of a ControlServer."""

    verbs = VERBS

    def __init__(self, daemon: DaemonAt, keys: KeyVerbs | None = None, archivist: ArchivistAt | None = None) -> None:
        self._daemon, self._keys, self._archivist = daemon, keys, archivist

    async def handle(self, request: Request) -> AsyncIterator[Reply]:
        """Answer one request. Raises ConfigError for arguments, ControlFailed for what a lane refuses."""
        match request.verb:
            case verb if verb in QUESTIONS:
                yield Reply("result", answer(verb, request.args, self.everything(), self.posd()))
            case verb if verb in KEY_VERBS and self._keys is not None:
                yield Reply("result", await self._keys.do(verb, request.args, f"uid {request.uid}"))
            case "reversals.retry":
                yield Reply("result", await self._retry(request))
            case "reversals.resolve":
                yield Reply("result", await self._resolve(request))
            case "advices.retry":
                yield Reply("result", await self._retry_advices(request))
            case "advices.resolve":
                yield Reply("result", await self._resolve_advice(request))
            case "txn.resolve":
                yield Reply("result", await self._resolve_refund(request))
            case "settle.decide":
                yield Reply("result", await self._decide(request))
            case "gap.admit" | "gap.resolve":
                yield Reply("result", await self._end_gap(request))
            case "settle.approve":
                yield Reply("result", await self._approve(request))
            case "terminal.batch":
                yield Reply("result", await self._set_batch_number(request))
            case "journal.archive":
                async for reply in self._archive(request):
                    yield reply
            case "settle":
                async for reply in self._settle(request):
                    yield reply
            case verb:
                raise ConfigError(f"unknown verb {verb!r}; there are {', '.join(VERBS)}")

    # --- what is asked about -------------------------------------------------------------------------------------

    def everything(self) -> dict[Tid, Seen]:
        """Every terminal as it is."""
        return {tid: Seen(runner.lane.engine.state, self.around(runner)) for tid, runner in self._daemon.lanes.items()}

    def _look(self, runner: RunnerAt) -> tuple[State, Around]:
        return runner.lane.engine.state, self.around(runner)

    def around(self, runner: RunnerAt) -> Around:
        """What is true around a terminal now."""
        engine = runner.lane.engine
        return Around(
            rules=management.applied(engine.rules, engine.state),
            now=self._daemon.clock.now(),
            agenda=engine.agenda,
            link_up=self._daemon.link_up,
            link_why=self._daemon.link_why,
            fenced=runner.fenced,
            meanings=meanings(runner.lane.profile.codes),
            flagged=flagged(runner.lane.profile.codes),
            alerted=runner.lately.all(),
        )

    def posd(self) -> View:
        """posd itself, with its own findings."""
        daemon = self._daemon
        down = [] if daemon.link_up else [link_down(daemon.link_why)]
        routes = routes_view(daemon.routes, self._zone())
        doors = doors_view(daemon.doors, daemon.clock.now(), self._zone())
        certificates = certificates_view(daemon.certificates, daemon.clock.now().wall_ms, self._zone())
        settings = settings_view(daemon.settings_shown)
        machine = map(machine_trouble, daemon.troubles)
        return {
            "running": True,
            "version": version(),
            "up_s": max(0, (daemon.clock.now().wall_ms - daemon.started_at_ms) // 1000),
            "link_up": daemon.link_up,
            "link_why": daemon.link_why,
            "route": active_route(routes),
            "routes": routes,
            "doors": doors,
            "certificates": certificates,
            "settings": settings,
            "findings": [
                *down,
                *route_findings(routes),
                *door_findings(doors),
                *certificate_findings(certificates),
                *settings_findings(settings),
                *machine,
            ],
        }

    def _zone(self) -> str:
        """Of the first terminal: the routes belong to all of them."""
        return next(iter(self._daemon.lanes.values())).lane.engine.rules.zone

    # --- commands ------------------------------------------------------------------------------------------------

    async def _retry(self, request: Request) -> View:
        """One reversal by its id, or every one of a terminal or of all that is owed or stuck."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by = _by(request, given, mandatory=False)
        if "id" in given:
            state, _, txn = find_one(request.verb, given["id"], self.everything())
            return await self._retry_of(request, by, [state.tid], txn.request_id)
        asked = chosen(self.everything(), given.get("tid"))
        return await self._retry_of(request, by, [tid for tid, seen in asked if _can_retry(seen)], None)

    async def _retry_of(self, request: Request, by: str, tids: list[Tid], request_id: RequestId | None) -> View:
        done = []
        for tid in tids:
            text = await self._command(tid, e.RetryReversals(f"{request.id}:{tid}", by, request_id))
            done.append({"tid": tid, "text": text})
        return {"done": done}

    async def _resolve(self, request: Request) -> View:
        """By a named person with a reason; nothing else but the host's acknowledgement ends a reversal."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        state, _, txn = find_one(request.verb, given.get("id", ""), self.everything())
        text = await self._command(
            state.tid, e.ResolveReversal(f"{request.id}:{state.tid}", by, reason, txn.request_id)
        )
        log.info("reversal_resolved", request_id=txn.request_id, by=by, reason=reason, uid=request.uid)
        runner = self._daemon.lanes[state.tid]
        now = runner.lane.engine.state
        ended = now.reversals.get(txn.request_id)  # a batch that closed meanwhile forgets it
        return {"text": text, "reversal": reversal_view(ended, now, self.around(runner)) if ended else None}

    async def _retry_advices(self, request: Request) -> View:
        """One advice by its id, or every one of a terminal or of all that is owed or stuck."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by = _by(request, given, mandatory=False)
        of: RequestId | None = None
        if "id" in given:
            state, _, txn = find_one(request.verb, given["id"], self.everything())
            tids, of = [state.tid], txn.request_id
        else:
            asked = chosen(self.everything(), given.get("tid"))
            tids = [tid for tid, seen in asked if seen.state is not None and seen.state.undelivered_advices()]
        texts = [(tid, await self._command(tid, e.RetryAdvices(f"{request.id}:{tid}", by, of))) for tid in tids]
        return {"done": [{"tid": tid, "text": text} for tid, text in texts]}

    async def _resolve_advice(self, request: Request) -> View:
        """By a named person with a reason: it is delivered no more and counts no more."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        state, _, txn = find_one(request.verb, given.get("id", ""), self.everything())
        text = await self._command(state.tid, e.ResolveAdvice(f"{request.id}:{state.tid}", by, reason, txn.request_id))
        log.info("advice_resolved", request_id=txn.request_id, by=by, reason=reason, uid=request.uid)
        return {"request_id": txn.request_id, "text": text}

    async def _resolve_refund(self, request: Request) -> View:
        """A person says whether a refund in doubt happened (D13)."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        if "happened" not in given:
            raise ConfigError(f"{request.verb}: say 'happened': true if the host did the refund, false if not")
        state, _, txn = find_one(request.verb, given.get("id", ""), self.everything())
        event = e.ResolveRefund(f"{request.id}:{state.tid}", by, reason, txn.request_id, given["happened"])
        text = await self._command(state.tid, event)
        log.info("refund_resolved", request_id=txn.request_id, by=by, reason=reason, happened=event.happened)
        return {"request_id": txn.request_id, "text": text}

    async def _decide(self, request: Request) -> View:
        """A person says whether the host closed a batch that is unconfirmed (D20)."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        if "closed" not in given:
            raise ConfigError(f"{request.verb}: say 'closed': true if the host closed the batch, false if not")
        tid = self._only_one(request.verb, given.get("tid"), _undecided, "unconfirmed or failing")
        text = await self._command(tid, e.DecideSettlement(f"{request.id}:{tid}", by, reason, given["closed"]))
        log.info("settlement_decided", tid=tid, by=by, reason=reason, closed=given["closed"], uid=request.uid)
        return {"tid": tid, "text": text}

    async def _approve(self, request: Request) -> View:
        """A named person lets a settlement above the maximum begin, once (D23)."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        tid = self._only_one(request.verb, given.get("tid"), _held, "held")
        batch = given.get("batch")
        text = await self._command(tid, e.ApproveSettlement(f"{request.id}:{tid}", by, reason, batch))
        log.info("settlement_approved", tid=tid, by=by, reason=reason, uid=request.uid)
        return {"tid": tid, "text": text}

    async def _end_gap(self, request: Request) -> View:
        """A named person vouches for what is new since a restore, or ends what is not known since."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        tid = self._only_one(request.verb, given.get("tid"), _has_gap, "restored from a backup")
        wish = f"{request.id}:{tid}"
        event: e.Command
        if request.verb == "gap.admit":
            stan, number = _number(given, "terminal_stan", STAN_MAX), _number(given, "batch", BATCH_NUMBER_MAX)
            known = Stan(stan) if stan is not None else None
            event = e.AdmitAfterRestore(wish, by, reason, known, BatchNumber(number) if number is not None else None)
        else:
            event = e.ResolveGap(wish, by, reason)
        text = await self._command(tid, event)
        log.info("restore_gap", tid=tid, verb=request.verb, by=by, reason=reason, uid=request.uid)
        return {"tid": tid, "text": text}

    async def _set_batch_number(self, request: Request) -> View:
        """A named person gives a terminal's open batch another number (D7)."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by, reason = _by(request, given, mandatory=True), why(request.verb, given)
        number, tid = a_batch_number(request.verb, given), _named_terminal(request.verb, given)
        ((found, _),) = chosen(self.everything(), tid)
        text = await self._command(found, e.SetBatchNumber(f"{request.id}:{found}", by, reason, number))
        log.info("batch_number_set", tid=found, number=number, by=by, reason=reason, uid=request.uid)
        return {"tid": found, "text": text}

    def _only_one(self, verb: str, tid: str | None, concerned: Callable[[State], bool], what: str) -> Tid:
        """The terminal named, or the only one there is. Raises ConfigError, which names those that are concerned."""
        found = chosen(self.everything(), tid)
        if len(found) == 1:
            return found[0][0]
        those = [known for known, runner in self._daemon.lanes.items() if concerned(runner.lane.engine.state)]
        hint = f"{what}: {', '.join(those)}" if those else f"none is {what}"
        raise ConfigError(f"{verb}: say which terminal with 'tid'; {hint}")

    async def _command(self, tid: Tid, event: e.Command) -> str:
        done = await self._daemon.lanes[tid].command(event)
        if not done.ok:
            raise ControlFailed(f"terminal {tid}: {done.text}")
        return done.text

    async def _archive(self, request: Request) -> AsyncIterator[Reply]:
        """Move what can go of the months before the present one, or before the one asked for."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by = _by(request, given, mandatory=False)
        if self._archivist is None:
            raise ControlFailed("this daemon has no archive")
        log.info("archive_asked", before=given.get("before"), by=by, uid=request.uid)
        async for kind, data in self._archivist.archive(given.get("before")):
            yield Reply(kind, data)

    async def _settle(self, request: Request) -> AsyncIterator[Reply]:
        """Make it due, then watch: a line for each phase, until each batch is closed or cannot go on."""
        given = checked(request.verb, request.args, COMMANDS[request.verb])
        by = _by(request, given, mandatory=False)
        watched = []
        for tid, _ in chosen(self.everything(), given.get("tid")):
            runner = self._daemon.lanes[tid]
            before = runner.lane.engine.state
            done = await runner.command(e.SettleNow(f"{request.id}:{tid}", by))
            watched.append(Watched(before, done, partial(self._look, runner), runner.wait_change))
        async for reply in watch(watched):
            yield reply


def _named_terminal(verb: str, given: Mapping[str, Any]) -> str:
    if "tid" not in given:
        raise ConfigError(f"{verb}: say which terminal with 'tid'")
    return str(given["tid"])


def _can_retry(seen: Seen) -> bool:
    unended = seen.state.unended_reversals() if seen.state else []
    return any(reversal.status is not ReversalStatus.CONFLICT for reversal in unended)


def _undecided(state: State) -> bool:
    return state.settlement.phase in (*CLOSING, SettlementPhase.UNCONFIRMED)


def _held(state: State) -> bool:
    return state.settlement.held_minor is not None and state.settlement.approved_by is None


def _has_gap(state: State) -> bool:
    return state.gap is not None


def _number(given: Mapping[str, Any], name: str, most: int) -> int | None:
    """A number of six digits. Raises ConfigError."""
    value: int | None = given.get(name)
    if value is not None and not 1 <= value <= most:
        raise ConfigError(f"gap.admit: {name!r} must be 1 to {most}")
    return value


def _by(request: Request, given: Mapping[str, Any], *, mandatory: bool) -> str:
    """Who wants it; the user of the client where no name is asked for."""
    if not mandatory and not given.get("by", "").strip():
        return f"uid {request.uid}"
    return who(request.verb, given)
