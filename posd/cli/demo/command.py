"""`posd demo`: a shop's day with real processes in a temporary folder, then the audit of what they wrote down.

Exit status: 0 everything agrees; 1 the audit has a finding; 2 the folder cannot be used; 3 a process failed; 130 it was
interrupted. It must never need root or a configuration, never touch what it did not make, and leave no process behind.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posd.cli.demo.audit import Check, money_checks, rows
from posd.cli.demo.evidence import read_evidence
from posd.cli.demo.facts import Evidence
from posd.cli.demo.interrupts import interruptible
from posd.cli.demo.plan import OPENING_BALANCE_MINOR, TID, Plan, make_plan
from posd.cli.demo.process import StageFailed
from posd.cli.demo.proof import proof_checks
from posd.cli.demo.stage import Folder, Stage
from posd.cli.demo.story import Story
from posd.cli.demo.teller import Teller
from posd.errors import PosdError

UNIONPAY, NAC = "unionpay", "nac"
AGREED, FINDING, UNUSABLE, PROCESS_FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def demo_command(seed: int, as_json: bool, keep: Path | None, profile: str = UNIONPAY) -> int:
    """Play the day of `seed` in this dialect and audit it. Returns the exit status.

    `as_json`: the audit as one JSON object on standard output, the story on standard error. `keep`: a folder, new or
    empty, in which everything stays (configuration, journal, books, logs).
    """
    teller = Teller(sys.stderr if as_json else sys.stdout)
    try:
        with interruptible(), _folder(keep) as root:
            played = _unionpay if profile == UNIONPAY else _nac
            return _play(seed, profile, Folder(root), teller, as_json, keep, played)
    except _Unusable as error:
        print(f"posd demo: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("posd demo: interrupted; all its processes were ended", file=sys.stderr)
        return INTERRUPTED


@dataclass(frozen=True, slots=True)
class Audited:
    """What a story ended with."""

    checks: list[Check]
    rows: list[Mapping[str, object]]
    batches: list[Any]


def _play(
    seed: int,
    profile: str,
    folder: Folder,
    teller: Teller,
    as_json: bool,
    keep: Path | None,
    played: Callable[[int, Folder, Teller], Audited],
) -> int:
    began_s = time.monotonic()
    teller.say(f"posd demo, {profile}, seed {seed}, in {folder.root}")
    report: dict[str, object] = {"seed": seed, "profile": profile, "folder": str(folder.root) if keep else None}
    try:
        audited = played(seed, folder, teller)
    except (StageFailed, PosdError, OSError, ValueError, KeyError) as error:
        status, failed = PROCESS_FAILED, f"{type(error).__name__}: {error}"
        teller.say()
        teller.line(False, "failed", "失败", failed)
        report |= {"agreed": False, "failed": failed}
    else:
        status = AGREED if all(check.good for check in audited.checks) else FINDING
        _tell(audited.checks, teller)
        report |= _report(audited, status)
    report["seconds"] = round(time.monotonic() - began_s, 1)
    _end(teller, status, report, keep)
    if as_json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    return status


def _unionpay(seed: int, folder: Folder, teller: Teller) -> Audited:
    plan = make_plan(seed)
    with closing(Stage(folder, plan)) as stage:
        story = Story(stage, teller)
        story.play()
    evidence = _evidence(plan, folder, story)
    checks = [*money_checks(evidence), *proof_checks(evidence, plan, folder)]
    return Audited(checks, rows(evidence), list(evidence.batches))


def _nac(seed: int, folder: Folder, teller: Teller) -> Audited:
    from posd.cli.demo import nac_audit, nac_plan
    from posd.cli.demo.nac_stage import NacStage
    from posd.cli.demo.nac_story import NacStory

    plan = nac_plan.make_plan(seed)
    with closing(NacStage(folder, plan)) as stage:
        story = NacStory(stage, teller)
        story.play()
    evidence = nac_audit.read_evidence(folder)
    checks = nac_audit.checks_of(evidence, story, plan, folder)
    return Audited(checks, nac_audit.rows(evidence), evidence.batches)


def _evidence(plan: Plan, folder: Folder, story: Story) -> Evidence:
    evidence = read_evidence(folder.books, folder.journal, folder.told, TID)
    evidence.balances = {card.masked: OPENING_BALANCE_MINOR for card in plan.cards}
    evidence.staged = [(one.name, (one.terminal_batch, one.terminal_stan), one.why) for one in story.staged]
    evidence.settled, evidence.alerts = story.settled, story.alerts
    return evidence


def _tell(checks: list[Check], teller: Teller) -> None:
    teller.act("The audit: host's books, posd's journal, terminal", "审计：主机账、流水、终端")
    for check in checks:
        teller.line(check.good, check.title, check.title_zh, f"{check.looked_at} looked at")
        for finding in check.findings:
            teller.say(f"        {finding}")


def _report(audited: Audited, status: int) -> dict[str, object]:
    return {
        "agreed": status == AGREED,
        "checks": [
            {
                "name": check.name,
                "title": check.title,
                "good": check.good,
                "looked_at": check.looked_at,
                "findings": list(check.findings),
            }
            for check in audited.checks
        ],
        "transactions": audited.rows,
        "batches": audited.batches,
    }


def _end(teller: Teller, status: int, report: dict[str, object], keep: Path | None) -> None:
    words = {
        AGREED: ("all agree", "全部一致"),
        FINDING: ("the audit has findings", "审计发现差异"),
        PROCESS_FAILED: ("no audit: a process failed", "进程失败"),
    }
    teller.say()
    teller.line(status == AGREED, *words[status], f"{report['seconds']} s")
    if keep is not None:
        teller.say(f"      everything is kept in {keep}")
    elif status != AGREED:
        teller.say(
            f"      to look into it: posd demo --profile {report['profile']} --seed {report['seed']} --keep NEW_FOLDER"
        )


class _Unusable(Exception):
    """The folder that was named cannot be used; one line that says what to do."""


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The demo's folder: a temporary one, or `keep` if it is new or empty."""
    if keep is None:
        root = Path(tempfile.mkdtemp(prefix="posd-demo-")).resolve()
        try:
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        occupied = any(keep.iterdir())
    except OSError as error:
        raise _Unusable(f"--keep {keep}: {(error.strerror or 'cannot be used').lower()}; name a new folder") from None
    if occupied:
        raise _Unusable(f"--keep {keep}: is not empty; name a new folder")
    yield keep.resolve()
