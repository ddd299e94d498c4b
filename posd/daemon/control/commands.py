"""The verbs that change something: a wish becomes an event in the inbox of a lane, under the client's id (D36).

It must never change a state itself, and the leaving of a client must never cancel what was begun: `settle` and
`terminal.download` only watch. Beside the name that was typed always stands who this machine knows to have asked.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from posd.core import events as e
from posd.core.settlement import CLOSING
from posd.core.state import ReversalStatus, SettlementPhase, State
from posd.daemon.control.access import Access
from posd.daemon.control.arguments import COMMANDS, a_batch_number, amount, who, why
from posd.daemon.control.server import ControlFailed, Reply
from posd.daemon.control.sight import Sight
from posd.daemon.log import log
from posd.daemon.shown.download_view import watch_download
from posd.daemon.shown.questions import Seen, checked, chosen, find_one, find_proposal
from posd.daemon.shown.views import View, reversal_view
from posd.daemon.shown.watch import Watched, watch
from posd.errors import ConfigError
from posd.values import BATCH_NUMBER_MAX, STAN_MAX, BatchNumber, RequestId, Stan, Tid, Who


@dataclass(frozen=True, slots=True)
class Wish:
    """One command as it came, and who sent it."""

    id: str
    verb: str
    args: Mapping[str, Any]
    who: Who


Given = Mapping[str, Any]


class Commands:
    """Puts wishes to the lanes."""

    def __init__(self, sight: Sight, access: Access) -> None:
        self._sight, self._access = sight, access

    async def do(self, wish: Wish) -> View:
        """Every one but those that are watched. Raises ConfigError, ControlFailed."""
        given = checked(wish.verb, wish.args, COMMANDS[wish.verb])
        match wish.verb:
            case "reversals.retry":
                return await self._retry(wish, given, e.RetryReversals, _can_retry)
            case "advices.retry":
                return await self._retry(wish, given, e.RetryAdvices, _has_advices)
            case "reversals.resolve":
                return await self._resolve_reversal(wish, given)
            case "advices.resolve":
                return await self._resolve_advice(wish, given)
            case "txn.resolve":
                return await self._resolve_refund(wish, given)
            case "settle.decide":
                return await self._decide(wish, given)
            case "settle.approve":
                return await self._approve(wish, given)
            case "gap.admit" | "gap.resolve":
                return await self._end_gap(wish, given)
            case "terminal.batch":
                return await self._set_batch_number(wish, given)
            case "proposals.withdraw":
                return await self._withdraw(wish, given)
            case verb:
                raise ConfigError(f"{verb} cannot be done here")

    async def _retry(
        self,
        wish: Wish,
        given: Given,
        event: type[e.RetryReversals] | type[e.RetryAdvices],
        concerned: Callable[[Seen], bool],
    ) -> View:
        """One by its id, or every one of a terminal or of all that is owed or stuck."""
        by, everything = self.by(wish, given, decides=False), self._sight.everything()
        of: RequestId | None = None
        if "id" in given:
            state, _, txn = find_one(wish.verb, given["id"], everything)
            tids, of = [state.tid], txn.request_id
        else:
            tids = [tid for tid, seen in chosen(everything, given.get("tid")) if concerned(seen)]
        done = [(tid, await self._command(tid, event(f"{wish.id}:{tid}", by, of, wish.who))) for tid in tids]
        return {"done": [{"tid": tid, "text": said["text"]} for tid, said in done]}

    async def _resolve_reversal(self, wish: Wish, given: Given) -> View:
        """By a named person with a reason; nothing else but the host's acknowledgement ends a reversal."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        state, _, txn = find_one(wish.verb, given.get("id", ""), self._sight.everything())
        tid = state.tid
        event = e.ResolveReversal(f"{wish.id}:{tid}", by, reason, txn.request_id, wish.who)
        said = await self._command(tid, event)
        _log("reversal_resolved", wish, said, request_id=txn.request_id, by=by, reason=reason)
        runner = self._sight.daemon.lanes[tid]
        now = runner.lane.engine.state
        ended = now.reversals.get(txn.request_id)  # a batch that closed meanwhile forgets it
        return {**said, "reversal": reversal_view(ended, now, self._sight.around(runner)) if ended else None}

    async def _resolve_advice(self, wish: Wish, given: Given) -> View:
        """By a named person with a reason: it is delivered no more and counts no more."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        state, _, txn = find_one(wish.verb, given.get("id", ""), self._sight.everything())
        event = e.ResolveAdvice(f"{wish.id}:{state.tid}", by, reason, txn.request_id, wish.who)
        said = await self._command(state.tid, event)
        _log("advice_resolved", wish, said, request_id=txn.request_id, by=by, reason=reason)
        return {"request_id": txn.request_id, **said}

    async def _resolve_refund(self, wish: Wish, given: Given) -> View:
        """A person says whether a refund in doubt happened (D13)."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        if "happened" not in given:
            raise ConfigError(f"{wish.verb}: say 'happened': true if the host did the refund, false if not")
        state, _, txn = find_one(wish.verb, given.get("id", ""), self._sight.everything())
        event = e.ResolveRefund(f"{wish.id}:{state.tid}", by, reason, txn.request_id, given["happened"], wish.who)
        said = await self._command(state.tid, event)
        _log("refund_resolved", wish, said, request_id=txn.request_id, by=by, reason=reason, happened=event.happened)
        return {"request_id": txn.request_id, **said}

    async def _decide(self, wish: Wish, given: Given) -> View:
        """A person says whether the host closed a batch that is unconfirmed (D20)."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        if "closed" not in given:
            raise ConfigError(f"{wish.verb}: say 'closed': true if the host closed the batch, false if not")
        tid = self._only_one(wish.verb, given.get("tid"), _undecided, "unconfirmed or failing")
        event = e.DecideSettlement(f"{wish.id}:{tid}", by, reason, given["closed"], wish.who)
        said = await self._command(tid, event)
        _log("settlement_decided", wish, said, tid=tid, by=by, reason=reason, closed=event.closed)
        return {"tid": tid, **said}

    async def _approve(self, wish: Wish, given: Given) -> View:
        """A named person lets a settlement above the maximum begin, once (D23)."""
        by, reason, up_to = self.by(wish, given), why(wish.verb, given), amount(wish.verb, "up_to", given)
        tid = self._only_one(wish.verb, given.get("tid"), _held, "held")
        event = e.ApproveSettlement(f"{wish.id}:{tid}", by, reason, given.get("batch"), wish.who, up_to)
        said = await self._command(tid, event)
        _log("settlement_approved", wish, said, tid=tid, by=by, reason=reason)
        return {"tid": tid, **said}

    async def _end_gap(self, wish: Wish, given: Given) -> View:
        """A named person vouches for what is new since a restore, or ends what is not known since."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        tid = self._only_one(wish.verb, given.get("tid"), _has_gap, "restored from a backup")
        event: e.Command
        if wish.verb == "gap.admit":
            stan, number = _number(given, "terminal_stan", STAN_MAX), _number(given, "batch", BATCH_NUMBER_MAX)
            known = Stan(stan) if stan is not None else None
            batch = BatchNumber(number) if number is not None else None
            event = e.AdmitAfterRestore(f"{wish.id}:{tid}", by, reason, known, batch, wish.who)
        else:
            event = e.ResolveGap(f"{wish.id}:{tid}", by, reason, wish.who)
        said = await self._command(tid, event)
        _log("restore_gap", wish, said, tid=tid, verb=wish.verb, by=by, reason=reason)
        return {"tid": tid, **said}

    async def _set_batch_number(self, wish: Wish, given: Given) -> View:
        """A named person gives a terminal's open batch another number (D7)."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        number, tid = a_batch_number(wish.verb, given), _named_terminal(wish.verb, given)
        ((found, _),) = chosen(self._sight.everything(), tid)
        event = e.SetBatchNumber(f"{wish.id}:{found}", by, reason, number, wish.who)
        said = await self._command(found, event)
        _log("batch_number_set", wish, said, tid=found, number=number, by=by, reason=reason)
        return {"tid": found, **said}

    async def _withdraw(self, wish: Wish, given: Given) -> View:
        """Take back what waits for a second person."""
        by, reason = self.by(wish, given), why(wish.verb, given)
        found = find_proposal(wish.verb, given.get("id", ""), self._sight.everything())
        event = e.WithdrawProposal(f"{wish.id}:{found.tid}", by, reason, found.about, wish.who)
        said = await self._command(found.tid, event)
        _log("proposal_withdrawn", wish, said, tid=found.tid, by=by, reason=reason)
        return {"id": found.id, **said}

    def _only_one(self, verb: str, tid: str | None, concerned: Callable[[State], bool], what: str) -> Tid:
        """The terminal named, or the only one there is. Raises ConfigError, which names those that are concerned."""
        found = chosen(self._sight.everything(), tid)
        if len(found) == 1:
            return found[0][0]
        those = [known for known, runner in self._sight.daemon.lanes.items() if concerned(runner.lane.engine.state)]
        hint = f"{what}: {', '.join(those)}" if those else f"none is {what}"
        raise ConfigError(f"{verb}: say which terminal with 'tid'; {hint}")

    async def _command(self, tid: Tid, event: e.Command) -> View:
        """What the lane said; `waits`: it is noted, and a second person has to say the same. Raises ControlFailed."""
        done = await self._sight.daemon.lanes[tid].command(event)
        if not done.ok and not done.waits:
            raise ControlFailed(f"terminal {tid}: {done.text}")
        return {"text": done.text, "waits": done.waits}

    async def settle(self, wish: Wish) -> AsyncIterator[Reply]:
        """Make it due, then watch: a line for each phase, until each batch is closed or cannot go on."""
        given = checked(wish.verb, wish.args, COMMANDS[wish.verb])
        by = self.by(wish, given, decides=False)
        watched = []
        for tid, _ in chosen(self._sight.everything(), given.get("tid")):
            runner = self._sight.daemon.lanes[tid]
            before = runner.lane.engine.state
            done = await runner.command(e.SettleNow(f"{wish.id}:{tid}", by, wish.who))
            watched.append(Watched(before, done, partial(self._sight.look, runner), runner.wait_change))
        async for reply in watch(watched):
            yield reply

    async def download(self, wish: Wish) -> AsyncIterator[Reply]:
        """A person has the host asked for a terminal's parameters, and sees what comes of it."""
        given = checked(wish.verb, wish.args, COMMANDS[wish.verb])
        by, tid = self.by(wish, given, decides=False), _named_terminal(wish.verb, given)
        ((found, _),) = chosen(self._sight.everything(), tid)
        runner = self._sight.daemon.lanes[found]
        before = runner.lane.engine.state
        said = await self._command(found, e.DownloadNow(f"{wish.id}:{found}", by, wish.who))
        _log("download_wanted", wish, said, tid=found, by=by)
        async for reply in watch_download(before, partial(self._sight.look, runner), runner.wait_change):
            yield reply

    def by(self, wish: Wish, given: Given, *, decides: bool = True) -> str:
        """Who wants it: as typed, else the user who asks. Who decides with money at stake is a person, not an account
        that several use."""
        if given.get("by", "").strip():
            return who(wish.verb, given)
        if decides and self._access.is_shared(wish.who):
            raise ConfigError(
                f"{wish.verb}: 'by' is missing: the name of the person who decides; {wish.who.name} is nobody's name"
            )
        return wish.who.name


def _log(event: str, wish: Wish, said: View, **facts: object) -> None:
    if said["waits"]:
        log.info("proposed", wish=event, **facts, who=str(wish.who))
    else:
        log.info(event, **facts, who=str(wish.who))


def _can_retry(seen: Seen) -> bool:
    unended = seen.state.unended_reversals() if seen.state else []
    return any(reversal.status is not ReversalStatus.CONFLICT for reversal in unended)


def _has_advices(seen: Seen) -> bool:
    return seen.state is not None and bool(seen.state.undelivered_advices())


def _undecided(state: State) -> bool:
    return state.settlement.phase in (*CLOSING, SettlementPhase.UNCONFIRMED)


def _has_gap(state: State) -> bool:
    return state.gap is not None


def _number(given: Given, name: str, most: int) -> int | None:
    """A number of six digits. Raises ConfigError."""
    value: int | None = given.get(name)
    if value is not None and not 1 <= value <= most:
        raise ConfigError(f"gap.admit: {name!r} must be 1 to {most}")
    return value


def _named_terminal(verb: str, given: Given) -> str:
    if "tid" not in given:
        raise ConfigError(f"{verb}: say which terminal with 'tid'")
    return str(given["tid"])


def _held(state: State) -> bool:
    return state.settlement.held_minor is not None and state.settlement.approved_by is None
