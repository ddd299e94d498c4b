"""A shop's day in a house (selftest_house.py): steps of a terminal, each with what must come of it, then the audit.

Which steps there are is a dialect's own (selftest_unionpay.py, selftest_nac.py). Nothing is explained away: what comes
otherwise is a finding, and the day goes on as far as it can.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from posd.cli.demo.audit import Check
from posd.cli.selftest.house import House, Stuck, opened
from posd.core.state import CloseOutcome, SettlementPhase
from simulators.host.dialects import AnyAcquirer

Result = dict[str, Any]
Seen = Mapping[str, Result]
Make = Callable[[Seen], dict[str, object]]

STANDING = frozenset({"approved", "voided", "completed", "adjusted"})
"""States of the host's books in which a transaction moved money or has an original's place."""

OF_FIELDS = re.compile(r"\bfields? [0-9]+")
"""A remark about which fields a message has."""

NOT_BOOKED = frozenset({"balance", "script_result", "certificate"})
"""Kinds of the journal that move no money: the host's books do not have them."""

APPROVED, DECLINED = "approved", "declined"

NOT_OF_THE_DAY = frozenset({"clock_unsynchronised"})
"""Alerts about the machine; `posd status` has them."""


@dataclass(frozen=True, slots=True)
class Step:
    """`make`: the terminal's step, from what came of earlier ones by their names. `wants`: the good outcomes."""

    name: str
    title: str
    title_zh: str
    make: Make
    wants: tuple[str, ...] = (APPROVED,)
    code: str | None = None


class Client(Protocol):
    """A terminal on a line."""

    async def do(self, step: Mapping[str, object]) -> Result: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class Script:
    """One dialect's day. `closes`: how each settlement has to end; `may_alert`: alerts that the day stages.

    `bank`: the settings name a bank's file; that its messages are not those of the reference is what it is for.
    """

    acquirer: AnyAcquirer
    client: Callable[[int], Client]
    parts: Sequence[Sequence[Step]]
    closes: tuple[CloseOutcome, ...]
    may_alert: frozenset[str] = frozenset()
    before_part: Callable[[int, AnyAcquirer], None] = lambda _, __: None
    bank: bool = False


@dataclass(slots=True)
class Day:
    """What the day came to."""

    house: House
    script: Script
    tell: Callable[[int], None]
    seen: dict[str, Result] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    async def live(self) -> list[Check]:
        """Every step and the audit, as checks."""
        try:
            async with opened(self.house, self.script.acquirer):
                await self._in_business()
        except Stuck as stuck:
            self._note("in_time", "everything in time", "均按时完成", str(stuck))
        for check in self._audit():
            blind = () if check.looked_at or check.findings else ("there was nothing to look at",)
            self.checks.append(replace(check, findings=check.findings + blind))
        return self.checks

    async def _in_business(self) -> None:
        house = self.house
        await house.until("posd signs in with the acquirer", lambda: house.in_service)
        self._note("sign_in", "posd signs in with the acquirer", "posd 向收单方签到")
        client = self.script.client(house.door_port)
        try:
            for number, steps in enumerate(self.script.parts):
                self.script.before_part(number, self.script.acquirer)
                for step in steps:
                    await self._play(client, step)
                await self._settled(number)
        finally:
            await client.close()

    async def _play(self, client: Client, step: Step) -> None:
        try:
            result = await client.do(step.make(self.seen))
        except KeyError as missing:
            self._note(step.name, step.title, step.title_zh, f"cannot be tried: {missing.args[0]} failed before")
            return
        outcome, code = result.get("outcome"), result.get("code")
        good = outcome in step.wants and step.code in (None, code)
        if good:
            self.seen[step.name] = result
        said = f"{outcome}{f' {code}' if code else ''}"
        self._note(step.name, step.title, step.title_zh, "" if good else f"{said}, expected {_expected(step)}")
        self.tell(len(self.checks))

    async def _settled(self, number: int) -> None:
        """The terminal's own close made posd's due (D25): wait until its batch is closed, and nothing is under way."""
        house = self.house

        def closed() -> bool:
            state = house.state
            closes = sum(1 for kind, _, __ in house.records() if kind == "batch_closed")
            return closes > number and state.settlement.phase is SettlementPhase.OPEN and house.in_service

        await house.until(f"settlement {number + 1} closes", closed)

    def _note(self, name: str, title: str, title_zh: str, finding: str = "") -> None:
        self.checks.append(Check(name, title, title_zh, 1, (finding,) if finding else ()))

    # --- the audit -------------------------------------------------------------------------------------------------

    def _audit(self) -> Iterator[Check]:
        records, books = self.house.records(), self.script.acquirer.dump()
        terminal = _terminal_of(books, self.house.tid)
        ours, theirs = transactions(records), _booked(terminal)
        closes = [facts["outcome"] for kind, _, facts in records if kind == "batch_closed"]
        wanted = [outcome.value for outcome in self.script.closes]
        differing = () if closes == wanted else (f"closed {closes or 'nothing'}, expected {wanted}",)
        yield Check("closes", "settlements end as they should", "结算结果正确", len(closes), differing)
        yield Check(
            "books", "journal and host's books agree", "流水与主机账一致", len(ours), tuple(differences(ours, theirs))
        )
        twice = tuple(
            f"STAN {stan}: {one['times_asked']} times" for (_, stan), one in theirs.items() if one["times_asked"] > 1
        )
        yield Check("sent", "no request left twice", "请求未重发", len(theirs), twice)
        owed = tuple(f"{name}: {one.status}" for name, one in ours.items() if one.status in ("sent", "unknown", "owed"))
        yield Check("owed", "nothing is owed", "无未了交易", len(ours), owed)
        every = (*terminal.get("remarks", ()), *terminal.get("conformance", ()))
        remarks = [one for one in every if not (self.script.bank and OF_FIELDS.search(one))]
        yield Check("remarks", "the host has no remarks", "主机无异议", len(theirs), tuple(remarks))
        alerts = [name for name in self.house.alerts() if name not in self.script.may_alert | NOT_OF_THE_DAY]
        yield Check("alerts", "no alert but those staged", "无意外告警", len(self.house.lines()), tuple(alerts))
        yield Check("journal", "the journal's chain holds", "流水链完整", len(records), tuple(self.house.damage()))


def _expected(step: Step) -> str:
    return f"{' or '.join(step.wants)}{f' {step.code}' if step.code else ''}"


@dataclass(slots=True)
class Ours:
    """One transaction by the journal's records."""

    key: tuple[int, int]
    kind: str
    amount_minor: int
    status: str = "sent"


ENDS: Mapping[str, str] = {
    "approved": "approved",
    "declined": "declined",
    "advice_acknowledged": "approved",
    "advice_settled": "approved",
    "outcome_unknown": "unknown",
    "refund_in_doubt": "unknown",
    "reversal_owed": "owed",
    "reversal_reopened": "owed",
    "reversal_acknowledged": "reversed",
}
"""What a record makes of its transaction; every other kind leaves it as it is."""


def transactions(records: Sequence[tuple[str, str | None, dict[str, Any]]]) -> dict[str, Ours]:
    """By request id, from the records' JSON alone: a reading of its own, apart from posd's fold."""
    found: dict[str, Ours] = {}
    for kind, _, facts in records:
        if kind in ("authorisation_started", "advice_stored"):
            key = (facts["batch_number"], facts["stan"])
            found[facts["request_id"]] = Ours(key, facts["kind"], facts["amount_minor"])
        elif kind in ENDS and (one := found.get(facts.get("request_id", ""))) is not None:
            one.status = ENDS[kind]
    return found


def _terminal_of(books: Mapping[str, Any], tid: str) -> Mapping[str, Any]:
    return next(one for one in books["terminals"] if one["tid"] == tid)


def _booked(terminal: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, Any]]:
    return {(batch["number"], one["stan"]): one for batch in terminal["batches"] for one in batch["transactions"]}


def differences(ours: Mapping[str, Ours], theirs: Mapping[tuple[int, int], Mapping[str, Any]]) -> Iterator[str]:
    """What stands here and not there, or there and not here; one line each."""
    known = {one.key for one in ours.values()}
    for batch, stan in theirs:
        if (batch, stan) not in known:
            yield f"batch {batch} STAN {stan}: the host has it, the journal does not"
    for name, one in ours.items():
        entry = theirs.get(one.key)
        stands = entry is not None and entry["state"] in STANDING
        if one.kind not in NOT_BOOKED and (one.status == "approved") != stands:
            yield f"{name}: {one.status} here, {entry['state'] if entry else 'unknown'} there"
