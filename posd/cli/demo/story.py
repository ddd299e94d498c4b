"""The story of the demo: a shop's day in which everything goes wrong once, played with real processes.

It drives and tells; whether the money is right is not judged here but by the audit (demo_audit.py), from what the three
parties wrote down. It waits for what happens (lines of the processes), never for time to pass.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from posd.cli.demo.facts import Settled, Staged
from posd.cli.demo.later import LaterBatches
from posd.cli.demo.plan import EXPIRY, Action, Balance, Plan, Sale, Void
from posd.cli.demo.process import Event, StageFailed
from posd.cli.demo.stage import ANSWER_LIMIT_S, Stage
from posd.cli.demo.teller import Teller
from posd.cli.demo.totals import AGREED, SCHEDULE
from posd.values import format_amount

FAR_AWAY = timedelta(hours=12)
"""The first posd's settlement is due then: not in this demo."""
DUE_IN = timedelta(seconds=5)
"""The second posd's is due so long after the start that it needs, on a machine of this speed: after a few sales."""
SLOWNESS = 2
"""How many times longer than the first start the second may take."""
REVERSAL_LIMIT_S = 20.0
CLOSE_LIMIT_S = 30.0
KEYS_CHANGED = "A0"
FAILED = "98"


class Story:
    """One demo on one stage. `staged`, `settled` and `alerts` are what the audit has to find again."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self._stage, self._teller = stage, teller
        self._approved: list[tuple[int, Sale]] = []
        self._start_took = timedelta()
        self._killed_stan = 0
        self.staged: list[Staged] = []
        self.settled: list[Settled] = []
        self.alerts: list[str] = []

    @property
    def _plan(self) -> Plan:
        return self._stage.plan

    def play(self) -> None:
        """All of it. Raises StageFailed when a process does not do its part."""
        self._start()
        self._trade()
        self._kill()
        self._recover()
        self._settle()
        self._next_batch()
        later = LaterBatches(self._stage, self._teller, self._play)
        later.play()
        self.staged += later.staged
        self.settled += later.settled
        self.alerts += later.alerts
        self._stage.end()
        self._teller.line(True, "all three stopped", "全部正常退出", "each with status 0")

    # --- the acts ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._teller.act("Three processes, real sockets", "启动三个进程")
        stage = self._stage
        stage.prepare()
        stage.start_host()
        self._teller.line(True, "acquirer simulator", "收单主机模拟器", f"process {stage.host.pid}")
        began_s = time.monotonic()
        stage.start_posd(FAR_AWAY)
        self._start_took = timedelta(seconds=time.monotonic() - began_s)
        self._teller.line(True, "posd", "守护进程", f"process {stage.posd.pid}, journal on disk, door open")
        signed_in = stage.posd.wait_for("sign-in", _named("signed_in"), ANSWER_LIMIT_S)
        self._teller.line(True, "posd signs in", "向主机签到", f"batch {signed_in['batch']:06d}, working keys loaded")
        stage.start_terminal()
        self._teller.line(True, "terminal simulator", "终端模拟器", f"process {stage.terminal.pid}")
        self._sign_in()

    def _trade(self) -> None:
        self._teller.act("A day of sales, and trouble on the line", "营业与线路故障")
        for action in self._plan.day:
            self._play(action)

    def _kill(self) -> None:
        self._teller.act("kill -9 between the approval and its answer", "主机已批准、应答未到时强杀进程")
        stage, sale = self._stage, self._plan.killed
        host_mark, mark = stage.host.mark(), stage.terminal.mark()
        stage.terminal.tell(_sale_step(sale))
        stage.host.wait_for("approval that is held back", _holding(sale), ANSWER_LIMIT_S, host_mark)
        self._teller.line(None, "the host has booked", "主机已记账", f"{_what(sale)}  its answer is held back")
        stage.kill_posd()
        result = stage.terminal.wait_for("the cut", lambda event: "outcome" in event, ANSWER_LIMIT_S, mark)
        self._remember(sale, result)
        self._teller.line(True, "kill -9", "强杀进程", f"the terminal hears nothing: {result['outcome']}")
        self._killed_stan = result["stan"]

    def _recover(self) -> None:
        self._teller.act("Restart: recovery is only folding the journal", "重启恢复")
        stage = self._stage
        stage.start_posd(DUE_IN + SLOWNESS * self._start_took)
        assert stage.due_at is not None
        self.settled.append(Settled(SCHEDULE, round(stage.due_at.timestamp() * 1000), AGREED))
        self._teller.line(
            True, "posd again", "重新启动", f"process {stage.posd.pid}, settlement due {stage.due_at:%H:%M:%S}"
        )
        self._reversal(self._killed_stan, 0)
        self._sign_in()
        result = stage.do({"do": "reverse", "stan": self._killed_stan})
        good = result["code"] == "00"
        self._teller.line(good, "the terminal's own 0400", "终端自行冲正", f"answered {result['code']}: posd owns it")
        for sale in self._plan.after_restart:
            self._play(sale)

    def _settle(self) -> None:
        self._teller.act("The schedule settles the day", "定时批结")
        posd = self._stage.posd
        begun = posd.wait_for("settlement", _named("settlement_begun"), CLOSE_LIMIT_S)
        self._teller.line(
            begun["cause"] == "schedule",
            "settlement begins",
            "开始批结",
            f"batch {begun['batch']:06d}, cause {begun['cause']}",
        )
        closed = posd.wait_for("closed batch", _named("batch_closed"), CLOSE_LIMIT_S)
        self._teller.line(
            closed["outcome"] == "agreed",
            "totals and end message",
            "对账与批结结束",
            f"{closed['outcome']}: {self._settled_text(closed['batch'])}",
        )
        posd.wait_for(
            "sign-in after the close",
            lambda event: event.get("event") == "signed_in" and event["batch"] != closed["batch"],
            CLOSE_LIMIT_S,
        )
        result = self._stage.do({"do": "settle"})
        self._teller.line(
            result["outcome"] == "balanced",
            "the terminal's own close",
            "终端自身批结",
            f"{result['outcome']} with posd's books",
        )

    def _settled_text(self, batch: int) -> str:
        """What the host's books say of a batch: how many sales and voids, how much."""
        terminal = json.loads(self._stage.folder.books.read_text())["terminals"][0]
        totals = next(one["totals"] for one in terminal["batches"] if one["number"] == batch)
        return ", ".join(
            f"{name} {word} {group[f'{side}_count']} ({format_amount(group[f'{side}_minor'])})"
            for name, group in totals.items()
            for side, word in (("debit", "sales"), ("credit", "voids"))
            if group[f"{side}_count"]
        )

    def _next_batch(self) -> None:
        self._teller.act("The next batch", "下一批次")
        self._play(self._plan.next_batch)

    # --- what the terminal does -------------------------------------------------------------------------------

    def _play(self, action: Action) -> None:
        match action:
            case Sale():
                self._sale(action)
            case Void(pick=pick):
                self._void(pick)
            case Balance():
                result = self._stage.do(
                    {"do": "balance", "card": action.card.pan, "expiry": EXPIRY, "pin": action.card.pin}
                )
                good = result["outcome"] == "approved"
                self._teller.line(
                    good, "balance inquiry", "余额查询", f"{'':>8}  {action.card.masked:<19}  PIN     {_told(result)}"
                )

    def _sale(self, sale: Sale, *, again: bool = False) -> None:
        posd_mark = self._stage.posd.mark()
        result = self._stage.do(_sale_step(sale))
        trouble = sale.trouble if not again else None
        title, title_zh = ("sale", "消费") if trouble is None else (trouble.title, trouble.title_zh)
        expected = result["code"] == (trouble.code if trouble else "00")
        keys_changed = result["code"] == KEYS_CHANGED and not again
        good = None if keys_changed and not expected else expected
        hint = ": its keys are not the current ones" if keys_changed else ""
        self._teller.line(good, title, title_zh, f"{_what(sale)}  {_told(result)}{hint}")
        if trouble is not None:
            self._remember(sale, result)
        if result["outcome"] == "approved":
            self._approved.append((result["stan"], sale))
        elif result["code"] == FAILED:
            self._reversal(result["stan"], posd_mark)
        elif keys_changed:
            self._sign_in()
            self._sale(sale, again=True)

    def _void(self, pick: float) -> None:
        if not self._approved:
            raise StageFailed("there is no approved sale to void")
        stan, sale = self._approved.pop(int(pick * len(self._approved)))
        result = self._stage.do({"do": "void", "of_stan": stan})
        self._teller.line(
            result["outcome"] == "approved", "void of that sale", "消费撤销", f"{_what(sale)}  {_told(result)}"
        )

    def _sign_in(self) -> None:
        result = self._stage.do({"do": "sign_in"})
        good = result["outcome"] == "approved"
        self._teller.line(
            good, "the terminal signs in", "终端签到", "it has the current keys" if good else _told(result)
        )
        if not good:
            raise StageFailed(f"the terminal cannot sign in: {result['outcome']} {result['code'] or ''}")

    def _reversal(self, terminal_stan: int, since: int) -> None:
        """Wait until the reversal of this sale is acknowledged, and say why it was owed."""

        def named(name: str) -> Callable[[Event], bool]:
            return lambda event: event.get("event") == name and f"/{terminal_stan:06d}/" in event["request_id"]

        posd = self._stage.posd
        owed = posd.wait_for("unknown outcome", named("outcome_unknown"), REVERSAL_LIMIT_S, since)
        done = posd.wait_for("acknowledged reversal", named("reversal_acknowledged"), REVERSAL_LIMIT_S, since)
        text = f"owed because of {owed['why']}; acknowledged with {done['code']}, attempts: {done['attempts']}"
        self._teller.line(True, "  reversal", "  冲正", text)

    def _remember(self, sale: Sale, result: Event) -> None:
        assert sale.trouble is not None
        self.staged.append(Staged(sale.trouble.name, result["batch"], result["stan"], sale.trouble.why))


def _sale_step(sale: Sale) -> Mapping[str, object]:
    step: dict[str, object] = {
        "do": "sale",
        "amount": format_amount(sale.amount_minor),
        "card": sale.card.pan,
        "expiry": EXPIRY,
    }
    if sale.card.pin is not None:
        step["pin"] = sale.card.pin
    elif sale.typed:
        step["entry"] = "012"
    return step


def _what(sale: Sale) -> str:
    how = "PIN" if sale.card.pin else "typed" if sale.typed else "swiped"
    return f"{format_amount(sale.amount_minor):>8}  {sale.card.masked:<19}  {how:<6}"


def _told(result: Event) -> str:
    if result["outcome"] == "approved":
        return f"approved  RRN {result['rrn']}"
    return f"{result['outcome']} {result['code'] or ''}"


def _named(name: str) -> Callable[[Event], bool]:
    return lambda event: event.get("event") == name


def _holding(sale: Sale) -> Callable[[Event], bool]:
    return lambda event: event.get("event") == "holding" and event.get("amount") == sale.amount_minor
