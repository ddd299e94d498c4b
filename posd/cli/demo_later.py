"""The batches after the first one: what needs a person, or more than one message, to be settled.

It drives and tells as demo_story.py does, and leaves behind what the audit has to find: every close (`settled`) and
every alert (`alerts`). It judges no money.
"""

import json
from collections.abc import Callable

from posd.cli.demo_evidence import Json, Settled
from posd.cli.demo_operator import OPERATOR_NAME, posd
from posd.cli.demo_plan import TID, Action
from posd.cli.demo_process import Event
from posd.cli.demo_stage import ANSWER_LIMIT_S, Stage
from posd.cli.demo_teller import Teller
from posd.cli.demo_totals import END_UNBALANCED, OPERATOR, OUT_OF_BALANCE

UNBALANCED_HOST = "unbalanced_domestic"
"""A scenario of the simulator: its domestic group never balances."""


class LaterBatches:
    """`act` plays one action of the plan at the terminal."""

    def __init__(self, stage: Stage, teller: Teller, act: Callable[[Action], None]) -> None:
        self._stage, self._teller, self._act = stage, teller, act
        self.settled: list[Settled] = []
        self.alerts: list[str] = []

    def play(self) -> None:
        """All of them. Raises StageFailed when a process does not do its part."""
        self._unbalanced()

    # --- the acts ---------------------------------------------------------------------------------------------

    def _unbalanced(self) -> None:
        self._teller.act("The host says that it does not balance", "主机对账不平")
        for sale in self._stage.plan.uploaded:
            self._act(sale)
        self._stage.restart_host(UNBALANCED_HOST)
        self._teller.line(None, "the host is in another mood", "主机改变口径", "its domestic group will not balance")
        mark = self._stage.posd.mark()
        said = posd(self._stage.folder, "settle", "--tid", TID, "--by", OPERATOR_NAME, may_end=(0, 1))
        close = said.values["terminals"][0]["close"] or {}
        outcome = str(close.get("outcome"))
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

    # --- particulars ------------------------------------------------------------------------------------------

    def _signed_in_after(self, mark: int) -> None:
        """The next batch is open: the host gave new keys for it."""

        def closed(event: Event) -> bool:
            return event.get("event") == "batch_closed"

        posd_log = self._stage.posd
        batch = posd_log.wait_for("closed batch", closed, ANSWER_LIMIT_S, mark)["batch"]
        posd_log.wait_for(
            "sign-in after the close",
            lambda event: event.get("event") == "signed_in" and event["batch"] != batch,
            ANSWER_LIMIT_S,
            mark,
        )

    def _settlement(self, batch: int) -> Json:
        """The last settlement of this batch by the host's books."""
        terminal = json.loads(self._stage.folder.books.read_text())["terminals"][0]
        found: Json = next(one for one in terminal["batches"] if one["number"] == batch)["settlements"][-1]
        return found
