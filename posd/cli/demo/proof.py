"""What the audit asks beside the money: the journal's chain, posd's own fold and log, and card data where none may be.

Each check has a control in it, so that one that looks at nothing cannot pass.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from posd.cli.demo.audit import Check
from posd.cli.demo.canary import Canary, Searched, canaries, holds, search
from posd.cli.demo.facts import APPROVED, DECLINED, IN_DOUBT, NOT_DONE, REVERSED, Evidence, Ledger
from posd.cli.demo.plan import Plan
from posd.cli.demo.stage import Folder
from posd.core.state import TxnStatus
from posd.daemon.recover import fold
from posd.journal.contract import StoredRecord
from posd.journal.verify import verify
from posd.security.machine import load_machine_key

OUTCOMES = {
    TxnStatus.APPROVED: APPROVED,
    TxnStatus.DECLINED: DECLINED,
    TxnStatus.NOT_SENT: DECLINED,
    TxnStatus.REVERSED: REVERSED,
    TxnStatus.IN_DOUBT: IN_DOUBT,
    TxnStatus.NOT_DONE: NOT_DONE,
}

OF_THE_MACHINE = frozenset({"clock_unsynchronised"})
"""Alerts about the machine that the demo happens to run on: they may come, as often as posd starts (D24)."""


def proof_checks(evidence: Evidence, plan: Plan, folder: Folder) -> list[Check]:
    """Chain, fold, canaries. Raises PosdError, OSError for what cannot be read."""
    key = folder.machine_key.read_text().strip()
    return [
        chain_check(folder.journal, folder.machine_key),
        fold_check(evidence.ledger),
        log_check(folder.log, evidence.alerts),
        canary_check(folder.posd, folder.key_files, folder.host / "host.yaml", canaries(plan, evidence.sign_ins, key)),
    ]


def chain_check(journal: Path, machine_key: Path) -> Check:
    """Every row of the journal, with the real key."""
    report = verify(journal, load_machine_key(machine_key).derive("chain"))
    findings = tuple(str(finding) for finding in report.findings)
    return Check("chain", "the journal's chain holds", "流水链完整", report.rows, findings)


def fold_check(ledger: Ledger) -> Check:
    """The state that posd would wake up with says the same as the audit's own reading."""
    rows = (StoredRecord(r.sequence, r.tid, r.kind, r.version, r.at_ms, r.payload) for r in ledger.records)
    return Check("fold", "posd's own state agrees", "状态重算一致", ledger.rows, tuple(_fold_findings(ledger, rows)))


def _fold_findings(ledger: Ledger, rows: Iterator[StoredRecord]) -> Iterator[str]:
    recovered = fold(rows, None)
    if recovered is None:
        yield "the journal has no records"
        return
    if recovered.fenced:
        yield recovered.fenced
    state = recovered.state
    for transaction in (*state.closed.values(), *state.transactions.values()):
        entry = ledger.entries.get(transaction.request_id)
        read = entry.outcome if entry else "unknown"
        if OUTCOMES.get(transaction.status) != read:
            yield f"{transaction.request_id}: {transaction.status} by posd's fold, {read} by the audit"
    for reversal in state.unended_reversals():
        yield f"{reversal.request_id}: its reversal is {reversal.status} by posd's fold"
    if state.exchange is not None:
        yield f"an exchange is still open: {state.exchange.kind}"


def log_check(log: Path, staged: Sequence[str] = ()) -> Check:
    """posd printed nothing but its log; what asks for a person is what was staged for one, each once, and no more."""
    lines = log.read_text().splitlines()
    expected = Counter(staged)
    findings = [finding for line in lines for finding in _log_findings(line, expected)]
    findings += [f"no alert {name}, which had to be raised" for name in expected.elements()]
    if not lines:
        findings.append("it is empty")
    return Check("log", "no alert but the staged ones", "无意外告警", len(lines), tuple(findings))


def _log_findings(line: str, expected: Counter[str]) -> Iterator[str]:
    """`expected` loses what was found."""
    try:
        event = json.loads(line)
    except ValueError:
        yield "a line that is no log line"
        return
    if event.get("event") in OF_THE_MACHINE:
        return
    if event.get("alert") or event.get("level") in ("error", "critical"):
        if expected[event.get("event", "")] > 0:
            expected[event["event"]] -= 1
        else:
            yield f"{event.get('level')}: {event.get('event')}"


def canary_check(folder: Path, key_files: Sequence[Path], host_yaml: Path, secrets: Sequence[Canary]) -> Check:
    """No card data and no clear key in any file of posd's; the key files and the host's configuration are controls."""
    searched = search(folder, secrets, without=key_files)
    findings = (*searched.findings, *_controls(searched, key_files, host_yaml, secrets))
    return Check("canaries", "no card data, no clear keys", "无卡数据和明文密钥", searched.files, findings)


def _controls(
    searched: Searched, key_files: Sequence[Path], host_yaml: Path, secrets: Sequence[Canary]
) -> Iterator[str]:
    """The search itself works: it finds what is known to be there."""
    for path in (*key_files, host_yaml):
        data = path.read_bytes()
        if not any(holds(data, secret) for secret in secrets):
            yield f"the search does not find what stands in {path.name}: it proves nothing"
    if searched.bytes == 0:
        yield "the search read nothing"
