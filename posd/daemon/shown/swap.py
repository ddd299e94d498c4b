"""Whether a machine may be taken away for good, its journal with it: what of a terminal's view speaks against it.

Pure. Whoever moves the journal along (posd backup create --final) need not ask this.
"""

from collections.abc import Iterator

from posd.core.state import CloseOutcome, SettlementPhase
from posd.daemon.shown.views import View


def against(view: View) -> Iterator[View]:
    """What would be lost or forgotten with this terminal's journal: `code`, and how many or what."""
    if view.get("empty"):
        return
    closing, money, advices = view["settlement"], view["reversals"], view["advices"]
    if view["fenced"]:
        yield _one("fenced")
    if view["restore_gap"] is not None:
        yield _one("gap")
    if closing["phase"] == SettlementPhase.UNCONFIRMED:
        yield _one("unconfirmed")
    elif closing["phase"] != SettlementPhase.OPEN:
        yield _one("unfinished")
    elif count := view["transactions"]["in_totals"]:
        yield _one("unsettled", count)
    elif not closing["nothing_to_settle"]:
        yield _one("unsettled", view["transactions"]["count"])
    for code, count in (
        ("reversals", money["owed"] + money["stuck"] + money["conflict"] + money["held"]),
        ("advices", advices["owed"] + advices["stuck"] + advices["refused"] + advices["held"]),
        ("refunds", len(view["refunds_in_doubt"])),
        ("scripts_owed", view["script_results"]["owed"]),
        ("scripts_not_told", len(view["scripts_not_told"])),
    ):
        if count:
            yield _one(code, count)
    last, unbalanced = view["last_close"], view["out_of_balance"]
    if last is not None and last["outcome"] == CloseOutcome.UNCONFIRMED:
        yield _one("close_unconfirmed", batch=last["batch"])
    if unbalanced is not None:
        yield _one("close_out_of_balance", batch=unbalanced["batch"])


def _one(code: str, count: int = 1, **facts: int) -> View:
    return {"code": code, "count": count, **facts}
