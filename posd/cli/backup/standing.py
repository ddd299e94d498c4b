"""How the terminals of a journal stand, by folding it: for the manifest of a backup, and for the proof of one."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from posd.core.payload import FOLD_VERSION, load_state
from posd.core.rules import Rules
from posd.core.state import State
from posd.core.station import STATION
from posd.core.totals import counts, totals_of
from posd.daemon.dialect import profile_of
from posd.daemon.recover import Recovered, fold
from posd.daemon.rules import rules_of
from posd.errors import StorageFailed
from posd.journal.backups.manifest import TerminalAt
from posd.journal.chain import Chain
from posd.journal.contract import StoredRecord
from posd.journal.reader import JournalReader
from posd.security.datakeyfile import Belongs
from posd.settings import Settings
from posd.values import Tid


def standing(
    settings: Settings, journal: Path, chain: Chain | None, on_rows: Callable[[int], None] = lambda rows: None
) -> tuple[TerminalAt, ...]:
    """Every terminal of the journal in the folder. `chain`: start from authentic snapshots; None: fold every record."""
    profile = profile_of(settings)
    rules = {Tid(one.tid): rules_of(settings, one, profile) for one in settings.terminals}
    usual = next(iter(rules.values()))  # for one that was configured away
    with JournalReader(journal) as reader:
        tids = [Tid(tid) for tid in reader.tids() if tid != STATION]
        return tuple(_stands(_recovered(reader, tid, chain, on_rows), rules.get(tid, usual)) for tid in tids)


def ended_batches(journal: Path, chain: Chain) -> Callable[[Belongs], bool]:
    """Whether the card numbers of a batch are gone, by its terminal's state (D29); of a fenced one nobody knows."""

    @cache
    def state_of(tid: str) -> State | None:
        with JournalReader(journal) as reader:
            if tid not in reader.tids():
                return None
            recovered = _recovered(reader, Tid(tid), chain, lambda rows: None)
        return None if recovered.fenced else recovered.state

    return lambda of: (state := state_of(of.tid)) is not None and state.numbers_gone(of.batch)


def _recovered(reader: JournalReader, tid: Tid, chain: Chain | None, on_rows: Callable[[int], None]) -> Recovered:
    found = reader.snapshot(tid, FOLD_VERSION, chain) if chain is not None else None
    state = load_state(found[1]) if found is not None else None
    if found is not None and state is not None:
        recovered = fold(_stored(reader, tid, found[0], on_rows), state)
        if recovered is not None and not recovered.fenced:
            return recovered
    recovered = fold(_stored(reader, tid, None, on_rows), None)
    if recovered is None:
        raise StorageFailed(f"the journal of {tid} has no record")
    return recovered


def _stored(
    reader: JournalReader, tid: Tid, after: int | None, on_rows: Callable[[int], None]
) -> Iterator[StoredRecord]:
    for count, row in enumerate(reader.records(tid=tid, after=after), 1):
        reader.require_whole()
        on_rows(count)
        yield StoredRecord(row.sequence, row.tid, row.kind, row.version, row.at_ms, row.payload)
    reader.require_whole()


def _stands(recovered: Recovered, rules: Rules) -> TerminalAt:
    state: State = recovered.state
    every = state.transactions.values()
    totals = totals_of(every, rules)
    groups = (totals.domestic, totals.foreign)
    return TerminalAt(
        tid=state.tid,
        stan=state.stan,
        batch=state.batch.identity,
        batch_number=state.batch.number,
        phase=state.settlement.phase.value,
        transactions=len(state.transactions),
        counted=sum(counts(txn, rules) for txn in every),
        debit_minor=sum(group.debit_minor for group in groups),
        credit_minor=sum(group.credit_minor for group in groups),
        owed=len(state.unended_reversals()),
        advices=len(state.undelivered_advices()),
        in_doubt=len(state.in_doubt()),
        fenced=recovered.fenced,
    )
