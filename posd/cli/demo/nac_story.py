"""The story of the NAC demo: a shop's days in which everything goes wrong once, played with real processes.

It drives and tells; whether the money is right is judged by the audit alone (demo_nac_audit.py). It waits for what
happens (lines of the processes), never for time to pass.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from posd.cli.demo.nac_plan import EXPIRY, TID, Plan, Sale
from posd.cli.demo.nac_stage import NacStage
from posd.cli.demo.operator import OPERATOR_NAME, posd
from posd.cli.demo.process import Event, StageFailed
from posd.cli.demo.stage import ANSWER_LIMIT_S
from posd.cli.demo.teller import Teller
from posd.values import format_amount

FAR_AWAY, DUE_IN, SLOWNESS = timedelta(hours=12), timedelta(seconds=5), 2
LIMIT_S = 30.0
BLOCKED, FAILED = "96", "91"
SETTLE = ("settle", "--tid", TID, "--by", OPERATOR_NAME)
AGREED, OUT_OF_BALANCE = "agreed", "out_of_balance"


class NacStory:
    """One demo on one stage. `closes`, `alerts` and `whys` are what the audit has to find again."""

    def __init__(self, stage: NacStage, teller: Teller) -> None:
        self._stage, self._teller = stage, teller
        self.closes: list[tuple[str, str]] = []
        self.alerts: list[str] = []
        self.whys: dict[int, str] = {}

    @property
    def _plan(self) -> Plan:
        return self._stage.nac

    def play(self) -> None:
        """All of it. Raises StageFailed when a process does not do its part."""
        took = self._start()
        self._trade()
        self._told()
        stan = self._kill()
        self._recover(stan, took)
        self._settle_at_night()
        self._upload()
        self._stuck()
        self._out_of_balance()
        self._power_off()
        self._stage.end()
        self._teller.line(True, "all three stopped", "全部正常退出", "each with status 0")

    # --- the acts ---------------------------------------------------------------------------------------------

    def _start(self) -> timedelta:
        self._teller.act("Three processes, real sockets, no keys", "启动三个进程")
        stage = self._stage
        stage.prepare()
        stage.start_host()
        self._teller.line(True, "acquirer simulator", "收单主机模拟器", f"process {stage.host.pid}, NAC")
        began_s = time.monotonic()
        stage.start_posd(FAR_AWAY)
        took = timedelta(seconds=time.monotonic() - began_s)
        self._teller.line(True, "posd", "守护进程", f"process {stage.posd.pid}, journal on disk, door open")
        signed_in = stage.posd.wait_for("logon", _named("signed_in"), ANSWER_LIMIT_S)
        self._teller.line(True, "posd logs on", "向主机签到", f"batch {signed_in['batch']:06d}, a number of our own")
        stage.start_terminal()
        self._teller.line(True, "terminal simulator", "终端模拟器", f"process {stage.terminal.pid}")
        self._do({"do": "logon"}, "the terminal logs on", "终端签到")
        return took

    def _trade(self) -> None:
        self._teller.act("A day of sales, and trouble on the line", "营业与线路故障")
        for sale in self._plan.day:
            self._sale(sale)

    def _told(self) -> None:
        self._teller.act("Voids, tips, holds, and what happened without the host", "撤销、小费、预授权与脱机")
        first, second = self._approved()[:2]
        self._do({"do": "void", "of_stan": first["stan"]}, "void", "撤销", _money(first))
        drawn, held, captured, told, back, _ = self._plan.spare_amounts
        tip = drawn % (int(second["amount"]) // 5) + 1  # a fifth is the most (advice.tip_percent_max)
        self._do({"do": "tip", "of_stan": second["stan"], "tip": _text(tip)}, "tip on a sale", "小费调整")
        self._do({"do": "void", "of_stan": self._approved()[3]["stan"]}, "another void", "再次撤销")
        card = self._plan.cards[0]
        money = {"card": card.pan, "expiry": EXPIRY}
        hold = self._do({"do": "preauth", "amount": _text(held), **money}, "pre-authorisation", "预授权")
        capture = min(captured, held)
        self._do(
            {"do": "complete", "of_stan": hold["stan"], "amount": _text(capture)},
            "completion, as an advice",
            "预授权完成",
        )
        sold = self._do({"do": "offline_sale", "amount": _text(told), "approval": "712345", **money}, *OFFLINE)
        self._do({"do": "adjust", "of_stan": sold["stan"], "amount": _text(told + 100)}, "its adjustment", "结算调整")
        self._do({"do": "refund", "amount": _text(back % 400 + 1), **money}, "refund", "退货")

    def _kill(self) -> int:
        self._teller.act("kill -9 between the approval and its answer", "主机已批准、应答未到时强杀进程")
        stage, sale = self._stage, self._plan.killed
        host_mark, mark = stage.host.mark(), stage.terminal.mark()
        stage.terminal.tell(_step(sale))
        held = lambda event: event.get("event") == "holding" and event.get("amount") == sale.amount_minor  # noqa: E731
        stage.host.wait_for("approval that is held back", held, ANSWER_LIMIT_S, host_mark)
        self._teller.line(None, "the host has booked", "主机已记账", f"{_what(sale)}  its answer is held back")
        stage.kill_posd()
        result = stage.terminal.wait_for("the cut", lambda event: "outcome" in event, ANSWER_LIMIT_S, mark)
        self.whys[result["stan"]] = "restart"
        self._teller.line(True, "kill -9", "强杀进程", f"the terminal hears nothing: {result['outcome']}")
        return int(result["stan"])

    def _recover(self, stan: int, took: timedelta) -> None:
        self._teller.act("Restart: recovery is only folding the journal", "重启恢复")
        stage = self._stage
        stage.start_posd(DUE_IN + SLOWNESS * took)
        assert stage.due_at is not None
        text = f"process {stage.posd.pid}, settlement due {stage.due_at:%H:%M:%S}"
        self._teller.line(True, "posd again", "重新启动", text)
        self._reversal(stan, 0)
        self._do({"do": "reverse", "stan": stan}, "the terminal's own 0400", "终端自行冲正")
        self._sale(self._plan.after_restart)

    def _settle_at_night(self) -> None:
        self._teller.act("The schedule settles the day", "定时批结")
        begun = self._stage.posd.wait_for("settlement", _named("settlement_begun"), LIMIT_S)
        text = f"batch {begun['batch']:06d}, cause {begun['cause']}"
        self._teller.line(begun["cause"] == "schedule", "settlement begins", "开始批结", text)
        closed = self._closed("schedule", AGREED, 0)
        good = self._batch(closed)["settlements"][-1]["code"] == "00"
        self._teller.line(
            good, "the totals close the batch", "对账即批结", f"{closed['outcome']}: {self._sums(closed)}"
        )
        result = self._stage.do({"do": "settle"})
        self._teller.line(
            result["outcome"] == "balanced",
            "the terminal's own close",
            "终端自身批结",
            f"{result['outcome']} with posd",
        )

    def _upload(self) -> None:
        self._teller.act("95: the host wants the batch, one by one", "主机应答 95，逐笔批上送")
        for sale in self._plan.uploaded:
            self._sale(sale)
        self._stage.restart_host("nac_lost_0330")
        self._teller.line(None, "the host is in another mood", "主机改变口径", "95; answers of the upload get lost")
        mark = self._stage.posd.mark()
        said = posd(self._stage.folder, *SETTLE, may_end=(0, 1)).values["terminals"][0]
        self._teller.line(None, "posd settle", "手工批结", f"{said['outcome']} {said['reason']}".strip())
        closed = self._closed("operator", AGREED, mark)
        text = f"{closed['outcome']}, from where each answer was missing"
        self._teller.line(closed["outcome"] == AGREED, "posd goes on by itself", "自动继续", text)
        one = self._batch(closed)["settlements"][-1]
        good = (one["code"], one["end_code"]) == ("95", "00") and one["uploaded"] == one["matched"] > 0
        counts = f"{one['uploaded']} uploaded, {one['matched']} matched"
        self._teller.line(good, "batch upload", "批上送", f"{counts}, then 960000: {one['end_code']}")
        self.alerts += ["settlement_out_of_balance", *["upload_unanswered"] * 2, "trailer_unanswered"]
        self._stage.restart_host(None)

    def _stuck(self) -> None:
        self._teller.act("A reversal that the host refuses blocks new sales", "冲正被拒，停止新交易")
        mark, refused, waiting = self._stage.posd.mark(), self._plan.refused, self._plan.while_blocked
        result = self._stage.do(_step(refused))
        self.whys[result["stan"]] = "timeout"
        self._teller.line(
            result["code"] == FAILED, "the answer is lost", "应答丢失", f"{_what(refused)}  {_said(result)}"
        )
        self._stage.posd.wait_for("stuck reversal", _named("reversal_stuck"), LIMIT_S, mark)
        self._teller.line(True, "its reversal is refused", "冲正被拒", "96, again and again: stuck")
        result = self._stage.do(_step(waiting))
        self._teller.line(
            result["code"] == BLOCKED, "a sale is not sent", "新交易被拒", f"{_what(waiting)}  {_said(result)}"
        )
        self._stage.posd.wait_for("acknowledged reversal", _named("reversal_acknowledged"), LIMIT_S, mark)
        self._teller.line(True, "the host takes it at last", "冲正终被接受", "nothing had been dropped")
        self._sale(waiting)
        self.alerts.append("reversal_stuck")

    def _out_of_balance(self) -> None:
        self._teller.act("77: closed out of balance, and said loudly", "主机应答 77，批结不平")
        for sale in self._plan.unbalanced:
            self._sale(sale)
        self._stage.restart_host("nac_out_of_balance")
        mark = self._stage.posd.mark()
        said = posd(self._stage.folder, *SETTLE, may_end=(0, 1))
        closed = self._closed("operator", OUT_OF_BALANCE, mark)
        text = f"{closed['outcome']}, exit status {said.status}"
        self._teller.line(said.status == 1, "posd settle", "手工批结", text)
        one = self._batch(closed)["settlements"][-1]
        self._teller.line(one["end_code"] == "77", "the host's last word", "主机应答", f"{one['end_code']} to 960000")
        self.alerts += ["settlement_out_of_balance", "batch_closed_out_of_balance"]
        self._stage.restart_host(None)

    def _power_off(self) -> None:
        self._teller.act("Switched off when the settlement is due", "批结时刻断电")
        stage = self._stage
        self._sale(self._plan.before_power_off)
        stage.stop_posd()
        self._teller.line(None, "switched off", "断电", "posd is stopped; the settlement falls due")
        time.sleep(1.02 - time.time() % 1)  # a due moment is a whole second: the next one begins
        stage.start_posd(timedelta(0))
        closed = self._closed("schedule", AGREED, 0)
        self._teller.line(True, "caught up", "补做批结", f"{closed['outcome']}, process {stage.posd.pid}")

    # --- particulars ------------------------------------------------------------------------------------------

    def _do(self, step: Mapping[str, object], title: str, title_zh: str, text: str = "") -> Event:
        result = self._stage.do(step)
        good = result["outcome"] == "approved" or result["code"] == "00"
        self._teller.line(good, title, title_zh, f"{text or _amount_of(result)}  {_said(result)}")
        if not good:
            raise StageFailed(f"the terminal's {step['do']} was answered {_said(result)}")
        return result

    def _sale(self, sale: Sale) -> None:
        mark = self._stage.posd.mark()
        result = self._stage.do(_step(sale))
        trouble = sale.trouble
        good = result["outcome"] == ("approved" if trouble is None else "declined")
        titles = ("sale", "消费") if trouble is None else (trouble.title, trouble.title_zh)
        self._teller.line(good, *titles, f"{_what(sale)}  {_said(result)}")
        if trouble is not None:
            self.whys[result["stan"]] = trouble.why
            self._reversal(result["stan"], mark)

    def _reversal(self, stan: int, since: int) -> None:
        def named(name: str) -> Callable[[Event], bool]:
            return lambda event: event.get("event") == name and f"/{stan:06d}/" in event["request_id"]

        owed = self._stage.posd.wait_for("unknown outcome", named("outcome_unknown"), LIMIT_S, since)
        done = self._stage.posd.wait_for("acknowledged reversal", named("reversal_acknowledged"), LIMIT_S, since)
        text = f"owed because of {owed['why']}; acknowledged with {done['code']}, attempts: {done['attempts']}"
        self._teller.line(True, "  reversal", "  冲正", text)

    def _closed(self, cause: str, outcome: str, since: int) -> Event:
        closed = self._stage.posd.wait_for("closed batch", _named("batch_closed"), LIMIT_S, since)
        self.closes.append((cause, outcome))
        return closed

    def _batches(self) -> list[Any]:
        batches: list[Any] = json.loads(self._stage.folder.books.read_text())["terminals"][0]["batches"]
        return batches

    def _batch(self, closed: Event) -> Any:
        return next(one for one in self._batches() if one["number"] == closed["batch"])

    def _sums(self, closed: Event) -> str:
        """What the host's books say of a batch."""
        group = self._batch(closed)["totals"]["all"]
        sold, back = format_amount(group["debit_minor"]), format_amount(group["credit_minor"])
        return f"sales {group['debit_count']} ({sold}), refunds {group['credit_count']} ({back})"

    def _approved(self) -> list[Any]:
        """The terminal's own approved sales, by the lines that it printed."""
        lines = [json.loads(line) for line in self._stage.folder.told.read_text().splitlines()]
        return [one for one in lines if one.get("do") == "sale" and one["outcome"] == "approved"]


OFFLINE = ("sale agreed by telephone", "电话授权消费")


def _step(sale: Sale) -> Mapping[str, object]:
    step: dict[str, object] = {"do": "sale", "amount": _text(sale.amount_minor), "card": sale.card.pan}
    return {**step, "expiry": EXPIRY, **({"entry": "012"} if sale.typed else {})}


def _text(minor: int) -> str:
    return format_amount(minor)


def _what(sale: Sale) -> str:
    return f"{_text(sale.amount_minor):>8}  {sale.card.masked:<19}  {'typed' if sale.typed else 'swiped':<6}"


def _money(line: Any) -> str:
    return f"{_text(line['amount']):>8}"


def _amount_of(result: Event) -> str:
    return f"{_text(result['amount']):>8}" if result.get("amount") else f"{'':>8}"


def _said(result: Event) -> str:
    if result["outcome"] == "approved":
        return f"approved  RRN {result['rrn']}" if result.get("rrn") else "approved"
    return f"{result['outcome']} {result['code'] or ''}".strip()


def _named(name: str) -> Callable[[Event], bool]:
    return lambda event: event.get("event") == name
