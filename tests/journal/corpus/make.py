"""Makes one journal of the corpus, with the posd of an earlier commit: see README.md beside this file.

It runs against that commit's own code and test stage, so it uses only what all of those commits have.
"""

import asyncio
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.core import events as e
from posd.values import Tid
from tests.daemon import stage as staging

CARD: dict[str, Any] = {"card": staging.CARD, "expiry": staging.EXPIRY}
REFUND = {"do": "refund", "amount": "4.00", "rrn": "123456789012", "date": "0102", **CARD}
LOST = {"mti": "0200", "amount": "*07", "do": "lose_answer"}


async def settle(stage: Any, tid: str) -> None:
    before = stage.state(tid).batch.identity
    await stage.daemon.lanes[Tid(tid)].command(e.SettleNow(f"settle-{before}", "anna"))
    await stage.until(lambda: stage.state(tid).batch.identity > before)
    await stage.until(lambda: stage.state(tid).session.signed_in)


async def trunk(stage: Any) -> None:
    """Sales, a void, a decline, a lost answer with its reversal, a balance inquiry."""
    await stage.sale("10.00")
    second = await stage.sale("20.00")
    await stage.terminal().do({"do": "void", "of_stan": second["stan"]})
    await stage.sale("1.07")
    await stage.until(lambda: not stage.state().unended_reversals())
    await stage.terminal().do({"do": "balance", **CARD})
    await settle(stage, staging.TID)
    await stage.sale("5.00")
    await stage.sale("2.07")  # its reversal may still be owed at the end


async def refunds(stage: Any) -> None:
    await stage.terminal().do({"do": "sign_in"})
    await trunk(stage)
    await stage.terminal().do(REFUND)


async def advices(stage: Any) -> None:
    await refunds(stage)
    await stage.terminal().do({"do": "offline_sale", "amount": "4.00", "approval": "777777", **CARD})
    held = await stage.terminal().do({"do": "preauth", "amount": "30.00", **CARD})
    await stage.terminal().do({"do": "complete_notice", "of_stan": held["stan"], "amount": "11.00"})


async def chips(stage: Any) -> None:
    chip = {"entry": "051", **CARD}
    await advices(stage)
    await stage.terminal().do({"do": "sale", "amount": "10.00", **chip})
    refused = await stage.terminal().do({"do": "sale", "amount": "7.00", **chip})
    await stage.terminal().do({"do": "chip_refusal", "of_stan": refused["stan"]})
    await settle(stage, staging.TID)
    await stage.terminal().do({"do": "sale", "amount": "12.00", **chip})
    await stage.terminal().do({"do": "offline_sale", "amount": "6.00", "approval": "777777", **CARD})


async def nac(stage: Any) -> None:
    from tests.daemon.nac_stage import CARD as VISA
    from tests.daemon.nac_stage import EXPIRY, OTHER
    from tests.daemon.nac_stage import TID as NAC_TID

    await stage.do("logon")
    await stage.sale("10.00")
    second = await stage.sale("20.00", OTHER, entry="012")
    await stage.do("void", of_stan=second["stan"])
    await stage.do("refund", amount="3.00", card=VISA, expiry=EXPIRY)
    told = await stage.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
    await stage.do("adjust", of_stan=told["stan"], amount="8.00")
    before = stage.state().batch.identity
    await stage.daemon.lanes[Tid(NAC_TID)].command(e.SettleNow("settle", "anna"))
    await stage.until(lambda: stage.state().batch.identity > before)
    await stage.do("logon")
    await stage.sale("4.00")


DAYS = {"trunk": trunk, "refunds": refunds, "advices": advices, "chips": chips, "nac": nac}


def summary(state: Any) -> dict[str, Any]:
    """What a later posd has to make of the same journal."""
    last = state.last_close
    return {
        "stan": state.stan,
        "batch": [state.batch.identity, state.batch.number],
        "signed_in": state.session.signed_in,
        "open": {of: told(txn) for of, txn in state.transactions.items()},
        "closed": {of: told(txn) for of, txn in state.closed.items()},
        "reversals": {of: reversal.status.value for of, reversal in state.reversals.items()},
        "advices": {of: advice.status.value for of, advice in getattr(state, "advices", {}).items()},
        "last_close": None if last is None else [last.batch, last.outcome.value, totals(last.totals)],
    }


def told(txn: Any) -> list[Any]:
    code = txn.facts.code if txn.facts is not None else None
    return [txn.kind.value, txn.status.value, txn.amount_minor, txn.stan, code]


def totals(said: Any) -> list[int]:
    return [
        getattr(getattr(said, group), f"{side}_{what}")
        for group in ("domestic", "foreign")
        for side in ("debit", "credit")
        for what in ("minor", "count")
    ]


def stage_of(day: str, folder: Path, patch: pytest.MonkeyPatch) -> Any:
    if day == "nac":
        from tests.daemon.nac_stage import stage

        return stage(folder, patch)
    return staging.Stage(folder, patch, faults=(LOST,))


def main() -> None:
    day, target = sys.argv[1], Path(sys.argv[2])
    said: dict[str, Any] = {}

    async def story(stage: Any) -> None:
        await stage.start()
        await DAYS[day](stage)
        await stage.end()
        said.update({str(tid): summary(runner.lane.engine.state) for tid, runner in stage.daemon.lanes.items()})

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        stage = stage_of(day, folder, patch)

        async def play() -> None:
            await stage.open()
            try:
                await story(stage)
            finally:
                await stage.close()

        asyncio.run(play())
        keep(folder, target / f"{day}.zip")
    (target / f"{day}.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def keep(folder: Path, archive: Path) -> None:
    """The journal, whole in its one file, its anchor and its keys."""
    journal = folder / "state" / "journal"
    connection = apsw.Connection(str(journal / "journal.db"))
    connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    names = [journal / "journal.db", journal / "anchor", folder / "machine.key", *folder.glob("*.tmk")]
    names += (folder / "state" / "keys").iterdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in names:
            packed.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main()
