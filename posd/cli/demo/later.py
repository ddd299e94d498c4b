"""The batches after the first one: what needs a person, or more than one message, to be settled.

It drives and tells as demo_story.py does, and leaves behind what the audit has to find: every trouble (`staged`),
every close (`settled`) and every alert (`alerts`). It judges no money.
"""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from posd.cli.demo.audit import FAILED
from posd.cli.demo.facts import Json, Settled, Staged
from posd.cli.demo.operator import OPERATOR_NAME, posd
from posd.cli.demo.plan import EXPIRY, TID, Action
from posd.cli.demo.process import Event, StageFailed
from posd.cli.demo.stage import ANSWER_LIMIT_S, ZONE, Stage
from posd.cli.demo.teller import Teller
from posd.cli.demo.totals import AGREED, END_UNBALANCED, OPERATOR, OUT_OF_BALANCE, SCHEDULE
from posd.values import format_amount

UNBALANCED_HOST = "unbalanced_domestic"
"""A scenario of the simulator: its domestic group never balances."""
SETTLE = ("settle", "--tid", TID, "--by", OPERATOR_NAME)
WAITS = "waits"
SECOND_BEGUN_S = 0.02
"""So far into a second it has begun by every clock."""


class LaterBatches:
    """`act` plays one action of the plan at the terminal."""

    def __init__(self, stage: Stage, teller: Teller, act: Callable[[Action], None]) -> None:
        self._stage, self._teller, self._act = stage, teller, act
        self.staged: list[Staged] = []
        self.settled: list[Settled] = []
        self.alerts: list[str] = []

    def play(self) -> None:
        """All of them. Raises StageFailed when a process does not do its part."""
        self._unbalanced()
        self._refund_in_doubt()
        self._held()
        self._power_off()

    # --- the acts ---------------------------------------------------------------------------------------------

    def _unbalanced(self) -> None:
        self._teller.act("The host says that it does not balance", "主机对账不平")
        for sale in self._stage.plan.uploaded:
            self._act(sale)
        self._stage.restart_host(UNBALANCED_HOST)
        self._teller.line(None, "the host is in another mood", "主机改变口径", "its domestic group will not balance")
        mark = self._stage.posd.mark()
        said = posd(self._stage.folder, *SETTLE, may_end=(0, 1))
        close = said.values["terminals"][0]["close"]
        if close is None:
            raise StageFailed(f"posd settle: {said.values['terminals'][0]['reason']}")
        outcome = close["outcome"]
        self._teller.line(outcome == OUT_OF_BALANCE, "posd settle", "手工批结", f"{outcome}, exit status {said.status}")
        settlement = self._settlement(close["batch"])
        good = settlement["end_code"] == END_UNBALANCED and settlement["matched"] == settlement["uploaded"]
        counts = f"{settlement['uploaded']} records uploaded, {settlement['matched']} matched by the host"
        self._teller.line(good, "batch upload", "批上送", f"{counts}, ended with {settlement['end_code']}")
        self._signed_in_after(mark)
        self.settled.append(Settled(OPERATOR, None, OUT_OF_BALANCE))
        self.alerts += ["settlement_out_of_balance", "batch_closed_out_of_balance"]
        self._stage.restart_host(None)
        self._teller.line(True, "the host is itself again", "主机恢复正常", "with the same books")

    def _refund_in_doubt(self) -> None:
        self._teller.act("A refund whose answer is lost", "退货应答丢失")
        for sale in self._stage.plan.refund_day:
            self._act(sale)
        first, second = self._refundable()[:2]
        told = self._refund(first)
        self._teller.line(told["outcome"] == "approved", "refund", "退货", f"{_money(first)}  {told['outcome']}")
        told = self._refund(second)
        good = (told["outcome"], told["code"]) == ("declined", FAILED)
        self._teller.line(good, "its answer is lost", "退货应答丢失", f"{_money(second)}  {_said(told)}")
        self.staged.append(Staged("refund_in_doubt", told["batch"], told["stan"], "timeout"))
        self.alerts.append("refund_in_doubt")
        self._resolve(second["amount"])

    def _resolve(self, amount_minor: int) -> None:
        """What posd shows in doubt, decided by what stands in the host's books."""
        folder = self._stage.folder
        listed = posd(folder, "txn", "list", "--tid", TID, "--status", "in_doubt").values["transactions"]
        request_id = listed[0]["request_id"] if listed else ""
        self._teller.line(len(listed) == 1, "posd txn list", "交易列表", f"in doubt: {len(listed)}  {request_id}")
        if not listed:
            raise StageFailed("posd shows no refund in doubt")
        entries = self._batches()[-1]["transactions"]
        refunds = [one for one in entries if (one["kind"], one["amount"]) == ("refund", amount_minor)]
        happened = "yes" if any(one["state"] == "approved" for one in refunds) else "no"
        reason = "on the acquirer's list of the day"
        arguments = ("--happened", happened, "--by", OPERATOR_NAME, "--reason", reason)
        said = posd(folder, "txn", "resolve", request_id, *arguments)
        self._teller.line(said.status == 0, "posd txn resolve", "人工确认", f"happened: {happened}, by {OPERATOR_NAME}")

    def _refund(self, sale: Json) -> Event:
        """Give back a sale of a batch that is closed; the terminal names it by RRN and date (reference 1.4)."""
        card = next(one for one in self._stage.plan.cards if one.masked == sale["card"])
        money = {"amount": format_amount(sale["amount"]), "card": card.pan, "expiry": EXPIRY}
        date = f"{datetime.fromtimestamp(sale['at_ms'] / 1000, ZoneInfo(ZONE)):%m%d}"
        return self._stage.do({"do": "refund", **money, "rrn": sale["rrn"], "date": date})

    def _refundable(self) -> list[Json]:
        """Domestic sales of the first batch that stand, by the host's books."""
        every = self._batches()[0]["transactions"]
        return [one for one in every if (one["kind"], one["state"], one["foreign"]) == ("sale", "approved", False)]

    def _held(self) -> None:
        self._teller.act("A settlement above the maximum", "超过批结上限")
        self._act(self._stage.plan.large)
        ended = posd(self._stage.folder, *SETTLE, may_end=(0, 1)).values["terminals"][0]
        self._teller.line(ended["outcome"] == WAITS, "posd settle", "手工批结", str(ended["reason"]))
        self.alerts.append("settlement_held")
        self._act(self._stage.plan.while_held)
        mark = self._stage.posd.mark()
        said = posd(self._stage.folder, *SETTLE, "--approve", "--reason", "slips checked")
        self._teller.line(said.status == 0, "posd settle --approve", "批准批结", str(said.values["text"]))
        closed = self._signed_in_after(mark)
        self._teller.line(closed["outcome"] == AGREED, "settled", "批结完成", f"{closed['outcome']}, refunds and all")
        self.settled.append(Settled(OPERATOR, None, AGREED, OPERATOR_NAME))

    def _power_off(self) -> None:
        self._teller.act("Switched off when the settlement is due", "批结时刻断电")
        stage = self._stage
        for sale in stage.plan.before_power_off:
            self._act(sale)
        stage.stop_posd()
        self._teller.line(None, "switched off", "断电", "posd is stopped; the settlement falls due")
        _next_second()
        stage.start_posd(timedelta(0))
        assert stage.due_at is not None
        text = f"process {stage.posd.pid}, {stage.due_at:%H:%M:%S} was missed"
        self._teller.line(True, "posd again", "重新启动", text)
        begun = stage.posd.wait_for("settlement", _named("settlement_begun"), ANSWER_LIMIT_S)
        closed = self._signed_in_after(0)
        good = (begun["cause"], closed["outcome"]) == (SCHEDULE, AGREED)
        self._teller.line(good, "caught up", "补做批结", f"cause {begun['cause']}, {closed['outcome']}")
        self.settled.append(Settled(SCHEDULE, round(stage.due_at.timestamp() * 1000), AGREED))

    # --- particulars ------------------------------------------------------------------------------------------

    def _signed_in_after(self, mark: int) -> Event:
        """How the batch was closed, when the next one is open: the host gave new keys for it."""
        posd_log = self._stage.posd
        close = posd_log.wait_for("closed batch", _named("batch_closed"), ANSWER_LIMIT_S, mark)
        posd_log.wait_for(
            "sign-in after the close",
            lambda event: event.get("event") == "signed_in" and event["batch"] != close["batch"],
            ANSWER_LIMIT_S,
            mark,
        )
        return close

    def _settlement(self, batch: int) -> Json:
        """The last settlement of this batch by the host's books."""
        found: Json = next(one for one in self._batches() if one["number"] == batch)["settlements"][-1]
        return found

    def _batches(self) -> list[Json]:
        """The host's books, oldest batch first."""
        batches: list[Json] = json.loads(self._stage.folder.books.read_text())["terminals"][0]["batches"]
        return batches


def _next_second() -> None:
    """A due moment is a whole second: the next one begins, and nobody was there when it did."""
    time.sleep(1 + SECOND_BEGUN_S - time.time() % 1)


def _named(name: str) -> Callable[[Event], bool]:
    return lambda event: event.get("event") == name


def _money(one: Json) -> str:
    return f"{format_amount(one['amount']):>8}  {one['card']:<19}"


def _said(told: Event) -> str:
    return f"{told['outcome']} {told['code'] or ''}"
