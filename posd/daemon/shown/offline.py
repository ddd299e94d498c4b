"""The verbs that only read, answered from the journal when no daemon runs, and what is too old for the states.

Read-only in short reads, beside a running daemon too. It folds what is there and must never repair, decide or write;
whether the rows are the ones that were written is `posd journal verify`'s question.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from posd.core.payload import FOLD_VERSION, load_state
from posd.core.state import State, Transaction
from posd.core.station import STATION
from posd.daemon.assemble import DATA_KEYS_FOLDER, JOURNAL_FOLDER, profile_of
from posd.daemon.recover import Recovered, fold, owes
from posd.daemon.rules import rules_of
from posd.daemon.shown.batch_rows import STARTED, alone
from posd.daemon.shown.card_number import card_number
from posd.daemon.shown.day_check import check_day
from posd.daemon.shown.findings import daemon_down, machine_trouble
from posd.daemon.shown.proposal_views import transaction_shown
from posd.daemon.shown.questions import (
    NAMED_MAX,
    QUESTIONS,
    Everything,
    NotFound,
    Seen,
    checked,
    chosen,
    list_filters,
    shown,
    version,
)
from posd.daemon.shown.questions import answer as answer_question
from posd.daemon.shown.refused_view import KIND, refused_rows, refused_view
from posd.daemon.shown.route_view import configured_routes, unverified_findings
from posd.daemon.shown.settlement_report import settlement_report
from posd.daemon.shown.views import Around, View, transaction_view
from posd.daemon.till.orders import till_request
from posd.errors import ConfigError
from posd.journal.chain import Chain
from posd.journal.contract import RecordView, StoredRecord
from posd.journal.reader import JournalReader
from posd.journal.segment import missing
from posd.profiles.codes import flagged, meanings
from posd.security.machine import load_machine_key
from posd.settings import Settings
from posd.values import Now, RequestId, Tid


def _chain(settings: Settings) -> Chain | None:
    """What proves a snapshot; None where this user may not read the machine key: then every record is folded."""
    try:
        return Chain(load_machine_key(settings.machine_key_file).derive("chain"))
    except ConfigError:
        return None


TRACE_MESSAGES_MAX = 1000
"""Messages looked at for a trace number: it comes again after a million, and each transaction has a few."""


def journal_folder(settings: Settings) -> Path:
    """Where the journal's files are."""
    return settings.state_dir / JOURNAL_FOLDER


def keys_folder(settings: Settings) -> Path:
    """Where the wrapped data keys are: outside the journal's folder and its backups (D29)."""
    return settings.state_dir / DATA_KEYS_FOLDER


class OfflineJournal:
    """The journal that `settings` name. Raises ConfigError (there is none, or a newer one), StorageFailed.

    `on_row` is told how many records were folded so far, for a person who waits.
    """

    def __init__(self, settings: Settings, now: Now, on_row: Callable[[int], None] = lambda count: None) -> None:
        self._now, self._on_row, self._rows = now, on_row, 0
        profile = profile_of(settings)
        self._meanings, self._flagged = meanings(profile.codes), flagged(profile.codes)
        self._routes = configured_routes(settings.host)
        self._unverified = list(unverified_findings(self._routes))
        self._rules = {Tid(one.tid): rules_of(settings, one, profile) for one in settings.terminals}
        self._chain = _chain(settings)
        self._reader = JournalReader(journal_folder(settings))
        self._keys = keys_folder(settings)

    def close(self) -> None:
        """Safe to call twice."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, verb: str, args: Mapping[str, Any]) -> View:
        """The same answer that a daemon would give. Raises ConfigError, StorageFailed."""
        given = checked(verb, args, QUESTIONS[verb])
        if verb == "txn.show" and (known := self._by_index(given.get("id", ""))) is not None:
            return known
        if verb == "txn.list" and "batch" in given:
            return self.of_batch(given)
        posd = {"running": False, "version": version(), "up_s": None, "link_up": None, "link_why": "", "route": None}
        posd |= {"routes": self._routes, "doors": [], "certificates": [], "settings": None}
        everything = {} if verb == "routes" else self._everything(given.get("tid"))
        missing_some = any(not placed.is_here for placed in self._reader.archived())
        archive = [machine_trouble("segments_not_here")] if missing_some else []
        findings = [daemon_down(), *self._unverified, *archive]
        said = answer_question(verb, given, everything, {**posd, "findings": findings})
        if verb == "txn.show" and said["transaction"] is None:
            return self.show(given["id"])
        return said

    # --- the states ----------------------------------------------------------------------------------------------

    def _everything(self, tid: str | None) -> Everything:
        everything = {known: Seen(None, self._around(known)) for known in self._rules}
        wanted = [known for known, _ in chosen(everything, tid)]
        return {known: self._seen(known) if known in wanted else seen for known, seen in everything.items()}

    def _seen(self, tid: Tid) -> Seen:
        recovered = self._from_snapshot(tid) or fold(self._stored(tid), None)
        if recovered is None:
            return Seen(None, self._around(tid))
        return Seen(recovered.state, self._around(tid, recovered.fenced))

    def _from_snapshot(self, tid: Tid) -> Recovered | None:
        """The newest snapshot and what follows it, as the daemon starts (D33); None where that is not safe.

        Only one that is proven authentic by the machine key counts, and none that its records contradict.
        """
        found = self._reader.snapshot(tid, FOLD_VERSION, self._chain) if self._chain is not None else None
        state = load_state(found[1]) if found is not None else None
        if found is None or state is None:
            return None
        recovered = fold(self._stored(tid, after=found[0]), state)
        return None if recovered is None or recovered.fenced else recovered

    def _stored(self, tid: Tid, after: int | None = None) -> Iterator[StoredRecord]:
        for row in self._reader.records(tid=tid, after=after):
            self._reader.require_whole()
            self._rows += 1
            self._on_row(self._rows)
            yield StoredRecord(row.sequence, row.tid, row.kind, row.version, row.at_ms, row.payload)
        self._reader.require_whole()

    def _around(self, tid: Tid, fenced: str = "") -> Around:
        rules = self._rules.get(tid) or next(iter(self._rules.values()))  # one that was configured away meanwhile
        return Around(rules, self._now, running=False, fenced=fenced, meanings=self._meanings, flagged=self._flagged)

    # --- what is too old for the states --------------------------------------------------------------------------

    def of_batch(self, args: Mapping[str, Any]) -> View:
        """txn.list for one batch of any age, by its number and the journal's index; oldest first.

        A state remembers only a part of what is long closed (D33), the journal all of it.
        """
        given = checked("txn.list", args, QUESTIONS["txn.list"])
        batch, status, limit = list_filters(given)
        chosen({known: Seen(None, self._around(known)) for known in self._rules}, given.get("tid"))
        found: list[View] = []
        left_out = 0
        for row in self._reader.records(tid=given.get("tid"), batch=batch, newest_first=True):
            if row.kind not in STARTED:
                continue
            assert row.request_id is not None
            state, txn = self._folded(RequestId(row.request_id))
            if txn is None or status not in (None, txn.status.value):
                continue
            if len(found) < limit:
                found.append(transaction_view(txn, state, self._around(state.tid)))
            else:
                left_out += 1
        return {"transactions": found[::-1], "left_out": left_out}

    def show(self, name: str) -> View:
        """txn.show for a transaction of any age: by request id, by RRN, or by TID/STAN (the newest). Raises NotFound,
        and ConfigError when the name fits several."""
        known = self._by_index(name) or self._by_trace(name)
        if known is None:
            self._reader.require_whole()
            raise NotFound(f"no transaction {shown(name)} in the journal; an id is a request id, an RRN, or TID/STAN")
        return known

    def _by_index(self, name: str) -> View | None:
        """By request id or RRN."""
        ids = {name} if name.count("/") > 1 else self._with_rrn(name) or self._with_key(name)
        if len(ids) > 1:
            several = ", ".join(sorted(ids)[:NAMED_MAX])
            raise ConfigError(f"{shown(name)} fits {len(ids)} transactions; say which: {several}")
        return self._shown(RequestId(ids.pop())) if ids else None

    def _with_rrn(self, rrn: str) -> set[str]:
        if not rrn or "/" in rrn:
            return set()
        for read in (
            self._reader.records,
            self._reader.messages,
        ):  # what was not believed has its message only
            rows = read(rrn=rrn, limit=NAMED_MAX, newest_first=True)
            if found := {row.request_id for row in rows if row.request_id is not None}:
                return found
        return set()

    def _with_key(self, key: str) -> set[str]:
        """By the Idempotency-Key of a till."""
        ids = [till_request(tid, key) for tid in self._rules] if key and "/" not in key else []
        return {of for of in ids if next(self._reader.records(request_id=of, limit=1), None) is not None}

    def _by_trace(self, name: str) -> View | None:
        tid, _, trace = name.partition("/")
        if not trace.isdecimal():
            return None
        begun = self._reader.records(tid=tid, stan=int(trace), newest_first=True)
        asked = self._reader.messages(tid=tid, stan=int(trace), newest_first=True)  # the terminal's own number
        ids = dict.fromkeys(row.request_id for row in begun if row.kind in STARTED and row.request_id)
        ids |= dict.fromkeys(row.request_id for row in islice(asked, TRACE_MESSAGES_MAX) if row.request_id)
        if len(ids) > 1:
            several = ", ".join(list(ids)[:NAMED_MAX])
            raise ConfigError(f"{shown(name)} fits {len(ids)} transactions, the newest first; say which: {several}")
        return self._shown(RequestId(next(iter(ids)))) if ids else None

    def _shown(self, request_id: RequestId) -> View | None:
        state, txn = self._folded(request_id)
        if txn is not None:
            return {"transaction": transaction_shown(txn, state, self._around(state.tid))}
        rows = self._reader.records(request_id=request_id, kind=KIND, limit=1, newest_first=True)
        return next(({"transaction": self._refused(row)} for row in rows), None)

    def _folded(self, request_id: RequestId) -> tuple[State, Transaction | None]:
        """The transaction alone: its own records, folded onto an empty lane."""
        self._reader.require_all_of(request_id)
        state = alone(self._reader.records(request_id=request_id), request_id)
        return state, state.find(request_id)

    def forgotten(self) -> list[tuple[Tid, str]]:
        """Terminals that are configured no more, and what they still owe: posd would refuse to start (D35)."""
        gone = [Tid(tid) for tid in self._reader.tids() if tid not in self._rules and tid != STATION]
        found = []
        for tid in gone:
            seen = self._seen(tid)
            why = (seen.around.fenced or owes(seen.state, seen.around.rules)) if seen.state is not None else ""
            found += [(tid, why)] if why else []
        return found

    def refused(self, tid: str | None, batch: int | None) -> list[View]:
        """The requests that posd answered itself (refused_view.py), oldest first, in the batches of a txn.list."""
        wanted = chosen({known: Seen(None, self._around(known)) for known in self._rules}, tid)
        rows = [row for known, _ in wanted for row in refused_rows(self._reader, known, batch)]
        return [self._refused(row) for row in sorted(rows, key=lambda row: row.sequence)]

    def _refused(self, row: RecordView) -> View:
        return refused_view(self._reader, row, self._around(Tid(row.tid)))

    def settlements(self, tid: str | None, batch: int | None) -> list[View]:
        """The newest settlement, or that of one batch, of one terminal or of each that has one (settlement_report)."""
        wanted = chosen({known: Seen(None, self._around(known)) for known in self._rules}, tid)
        reports = (settlement_report(self._reader, known, batch, seen.around) for known, seen in wanted)
        found = [report for report in reports if report is not None]
        self._reader.require_whole()
        if tid is None:  # an open batch that nobody began to settle tells nothing, unless it was asked for
            found = [report for report in found if report["events"]] or found
        if not found:
            what = f"batch {batch:06d}" if batch is not None else "a batch"
            of = f" of terminal {tid}" if tid is not None else ""
            raise ConfigError(f"the journal knows no settlement of {what}{of}; posd txn list shows what there is")
        return found

    def days(self, day: date, ends_at: time, tid: str | None, *, running: bool) -> list[View]:
        """What became of the settlements of one business day (day_check); `running`: a daemon answers now."""
        wanted = chosen({known: Seen(None, self._around(known)) for known in self._rules}, tid)
        found = [check_day(self._reader, known, day, ends_at, seen.around, running=running) for known, seen in wanted]
        self._reader.require_whole()  # a day without its rows would look forgotten
        return found

    @property
    def not_here(self) -> list[str]:
        """What could not be looked through, in words: rows of segments that are elsewhere."""
        return [missing(segment) for segment in self._reader.not_here]

    def card_number(self, request_id: str) -> View | None:
        """Whether it can still be read (card_number.py)."""
        tid = Tid(request_id.partition("/")[0])
        return card_number(self._reader, self._keys, request_id, self._around(tid))

    def timeline(self, request_id: str) -> list[dict[str, Any]]:
        """Everything that the journal has of one request, masked, in its order."""
        return [row.as_dict() for row in self._reader.merged(request_id=request_id)]
