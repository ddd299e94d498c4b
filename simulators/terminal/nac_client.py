"""The NAC terminal on its line: what steps there are, and the settlement with upload and closing (reference 2.5)."""

from dataclasses import dataclass

from simulators.terminal.core import Sent
from simulators.terminal.line import Line, Result, Step, amount_of, card_of
from simulators.terminal.nac_core import NacTerminal

TPDU = bytes.fromhex("6000010000")


@dataclass(slots=True, repr=False)
class NacClient(Line[NacTerminal]):
    """One NAC terminal connected to HOST:PORT."""

    tpdu: bytes = TPDU

    def build(self, step: Step) -> Sent | None:
        """Steps: logon, echo, sale, refund, pre_auth, offline_sale, complete, void, adjust, tip, tc, reverse, totals,
        settle_end."""
        terminal = self.terminal
        match step.get("do"):
            case "logon" | "sign_in":
                return terminal.logon()
            case "echo":
                return terminal.echo()
            case "sale":
                return terminal.sale(card_of(step), amount_of(step), amount_of(step, "tip") if "tip" in step else 0)
            case "refund":
                return terminal.refund(card_of(step), amount_of(step))
            case "pre_auth":
                return terminal.pre_auth(card_of(step), amount_of(step))
            case "offline_sale":
                return terminal.offline_sale(card_of(step), amount_of(step), str(step["approval"]))
            case "complete":
                return terminal.complete(_stan(step), amount_of(step))
            case "void":
                return terminal.void(_stan(step))
            case "adjust":
                return terminal.adjust(_stan(step), amount_of(step))
            case "tip":
                return terminal.tip(_stan(step), amount_of(step, "tip"))
            case "tc":
                return terminal.certificate(_stan(step))
            case "reverse":
                return terminal.reverse(int(str(step["stan"])))
            case "totals":
                return terminal.settle()
            case "settle_end":
                return terminal.close()
            case _:
                return None

    async def settle(self, timeout_s: float) -> Result:
        """920000, and where it is answered 95 every record and 960000; the outcome of the last, or of what failed.

        Outcomes: balanced, closed (after an upload), out_of_balance; totals_*, upload_* and end_* for what broke off.
        """
        totals = await self.exchange(self.terminal.settle(), timeout_s)
        match totals["outcome"]:
            case "balanced":
                return totals | {"uploads": 0, "next_batch": self.terminal.batch}
            case "unbalanced":
                pass
            case outcome:
                return totals | {"outcome": f"totals_{outcome}"}
        uploaded = 0
        for upload in list(self.terminal.uploads()):
            done = await self.exchange(upload, timeout_s)
            if done["outcome"] != "approved":
                return totals | {"outcome": f"upload_{done['outcome']}", "code": done["code"], "uploads": uploaded}
            uploaded += 1
        end = await self.exchange(self.terminal.close(), timeout_s)
        if end["outcome"] not in ("closed", "out_of_balance"):
            return totals | {"outcome": f"end_{end['outcome']}", "code": end["code"], "uploads": uploaded}
        result = {"outcome": end["outcome"], "code": end["code"], "uploads": uploaded}
        return totals | result | {"next_batch": self.terminal.batch}


def _stan(step: Step) -> int:
    return int(str(step["of_stan"]))
