"""The UnionPay terminal on its line: the steps of steps.py, and the settlement with its uploads (reference 1.7).

`TerminalClient` is what tests and the line-driven program use; line.py moves its bytes.
"""

from dataclasses import dataclass

from simulators.terminal import matrix
from simulators.terminal.core import Sent, Terminal
from simulators.terminal.line import BAD_STEP, Line, Result
from simulators.terminal.steps import Step, build

TPDU = bytes.fromhex("6000030000")
HEADER = bytes.fromhex("603100310100")


@dataclass(slots=True, repr=False)
class TerminalClient(Line[Terminal]):
    """One UnionPay terminal connected to HOST:PORT."""

    tpdu: bytes = TPDU
    header: bytes = HEADER

    def build(self, step: Step) -> Sent | None:
        """The request of a step of steps.py."""
        return build(self.terminal, step)

    def noted(self, step: Step) -> Result | None:
        """issuer_unproven changes the terminal's log and sends nothing."""
        if step.get("do") != "issuer_unproven":
            return None
        try:
            matrix.issuer_unproven(self.terminal, int(str(step["of_stan"])))
        except (KeyError, ValueError):
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "of_stan: a logged trace expected"}
        return {"do": step.get("do"), "outcome": "done"}

    async def settle(self, timeout_s: float) -> Result:
        """Owed script results, 0500, uploads, the end message: the outcome of the totals, or of what failed."""
        for stan in [stan for stan, one in self.terminal.log.items() if one.script == "owed"]:
            told = await self.exchange(matrix.script_result(self.terminal, stan), timeout_s)
            if told["outcome"] != "approved":
                return told | {"do": "settle", "outcome": f"script_{told['outcome']}"}
        totals = await self.exchange(self.terminal.settle(), timeout_s)
        if totals["outcome"] not in ("balanced", "unbalanced"):
            return totals
        uploaded = 0
        for upload in list(self.terminal.uploads()):
            done = await self.exchange(upload, timeout_s)
            if done["outcome"] != "approved":
                return totals | {"outcome": f"upload_{done['outcome']}", "code": done["code"]}
            uploaded += 1
        end = await self.exchange(self.terminal.end(), timeout_s)
        if end["outcome"] != "approved":
            return totals | {"outcome": f"end_{end['outcome']}", "code": end["code"]}
        return totals | {"code": "00", "uploads": uploaded, "next_batch": self.terminal.batch}
