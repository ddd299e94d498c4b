"""apply(state, record): the only way to a new state. Replaying the journal is folding it; there is no other recovery.

It must never look at a clock, a setting or anything but its arguments (D5), and never decide: what a record says is
so. A change here goes with a new `payload.FOLD_VERSION`.
"""

from typing import Any, assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.fold.advices import AdviceRecord, apply_advice
from posd.core.fold.edits import after, begun, change_txn, confirmed, end_exchange, moved
from posd.core.fold.proposals import ProposalRecord, apply_proposal
from posd.core.fold.refunds import apply_refund
from posd.core.fold.restored import RestoredRecord, apply_restored, asked_of_the_gap
from posd.core.fold.retention import RetentionRecord, apply_retention
from posd.core.fold.reversals import ReversalRecord, apply_reversal
from posd.core.fold.settlement import SettlementRecord, apply_settlement
from posd.core.fold.terminal_close import over_until
from posd.core.fold.terminal_close import told as terminal_told
from posd.core.state import (
    TERMINAL_KEYS_MAX,
    TOMBSTONES_MAX,
    Batch,
    ChipEnd,
    DownloadFailure,
    Exchange,
    Session,
    SettlementPhase,
    State,
    TxnStatus,
)
from posd.core.tables.transactions import Input


def opened(record: r.LaneOpened, at_ms: int) -> State:
    """The state after a terminal's first record."""
    return State(tid=record.tid, stan=record.stan, batch=Batch(1, record.batch_number, at_ms))


def apply(state: State, record: r.Record, at_ms: int) -> State:
    """The state after one more record; `at_ms` is the wall time of its row."""
    if isinstance(record, ReversalRecord):
        return apply_reversal(state, record, at_ms)
    if isinstance(record, AdviceRecord):
        return apply_advice(state, record, at_ms)
    if isinstance(record, SettlementRecord):
        return apply_settlement(state, record, at_ms)
    if isinstance(record, RestoredRecord):
        return apply_restored(state, record, at_ms)
    if isinstance(record, RetentionRecord):
        return apply_retention(state, record)
    if isinstance(record, ProposalRecord):
        return apply_proposal(state, record, at_ms)
    match record:
        case r.LaneOpened():
            return opened(record, at_ms)
        case r.SignInStarted() | r.SignedIn() | r.SignInFailed() | r.SignedOut() | r.SignInWanted():
            return _session(state, record, at_ms)
        case r.TerminalKeysGiven():
            return replace(state, session=_keys_given(state.session, record.generation))
        case r.RefundInDoubt() | r.RefundRepeated() | r.RefundResolved():
            return apply_refund(state, record, at_ms)
        case r.EchoStarted():
            return replace(state, exchange=Exchange(ExchangeKind.ECHO, None, at_ms))
        case r.DownloadWanted() | r.DownloadFailed() | r.ManagementStarted() | r.ManagementEnded() | r.ParametersTold():
            return _management(state, record, at_ms)
        case r.SignOffStarted():
            exchange = Exchange(ExchangeKind.SIGN_OFF, record.stan, at_ms)
            return replace(state, exchange=exchange, stan=after(state, record.stan))
        case r.EchoEnded() | r.SignOffEnded():
            return replace(state, exchange=None)
        case r.AuthorisationStarted() | r.Approved() | r.Declined() | r.OutcomeUnknown() | r.NotSent() | r.LateAnswer():
            return _transaction(state, record, at_ms)
        case r.AnswerHandedOver():
            state = confirmed(state, record.request_id)
            return change_txn(state, record.request_id, lambda txn: replace(txn, handed_over=True))
        case r.RequestRefused():
            return _refused(state, record)
        case r.TerminalClosed() | r.TerminalItemsCompared() | r.TerminalUploadEnded():
            if isinstance(record, r.TerminalClosed) and record.terminal_stan is not None:
                state = over_until(state, record.terminal_stan)
            return replace(state, terminal_upload=terminal_told(state.terminal_upload, record))
        case r.ChipEndTold():
            told = ChipEnd(record.result, record.code, record.icc)
            return change_txn(state, record.request_id, lambda txn: replace(txn, chip_end=told))
        case r.OriginalRefusedInAdvance():
            state = asked_of_the_gap(state, record.request_id, None)
            return replace(state, tombstones=(*state.tombstones, record.request_id)[-TOMBSTONES_MAX:])
        case _:
            assert_never(record)


def _management(
    state: State,
    record: r.DownloadWanted | r.DownloadFailed | r.ManagementStarted | r.ManagementEnded | r.ParametersTold,
    at_ms: int,
) -> State:
    match record:
        case r.DownloadWanted():
            return replace(state, wanted=(*state.wanted, record.function))
        case r.ManagementStarted():
            exchange = Exchange(ExchangeKind.MANAGEMENT, record.stan, at_ms)
            managing = None if record.for_terminal else record.function
            return replace(state, exchange=exchange, stan=after(state, record.stan), managing=managing)
        case r.ManagementEnded():
            ended = state.managing or (state.wanted[0] if state.exchange is None and state.wanted else None)
            left = tuple(one for one in state.wanted if one != ended)
            failed = state.download_failed
            failed = None if failed is not None and failed.function == ended else failed
            return replace(state, exchange=None, wanted=left, managing=None, download_failed=failed)
        case r.DownloadFailed():
            before = state.download_failed
            times = before.times if before is not None and before.function == record.function else 0
            failed = DownloadFailure(record.function, record.because, at_ms, times + 1)
            return replace(state, exchange=None, managing=None, download_failed=failed)
        case r.ParametersTold():
            return replace(state, parameters=record.parameters, parameters_at_ms=at_ms)
        case _:
            assert_never(record)


def _refused(state: State, record: r.RequestRefused) -> State:
    """The terminal was told no, and that stands; a second request under a key says nothing about the first (D6)."""
    of = record.request_id
    state = asked_of_the_gap(state, of, record.refusal)
    if of is not None and record.refusal == Refusal.KEY_REUSED.value and of not in state.collided:
        return replace(state, collided=(*state.collided, of)[-TOMBSTONES_MAX:])
    if of is None or of in state.collided or state.find(of) is not None:
        return state
    refused = {**state.refused, of: record.refusal}
    newest = list(refused.items())[-TOMBSTONES_MAX:]
    return replace(state, refused=dict(newest))


def _session(
    state: State,
    record: r.SignInStarted | r.SignedIn | r.SignInFailed | r.SignedOut | r.SignInWanted,
    at_ms: int,
) -> State:
    session = state.session
    match record:
        case r.SignInStarted():
            exchange = Exchange(ExchangeKind.SIGN_IN, record.stan, at_ms, for_settlement=record.for_settlement)
            return replace(state, exchange=exchange, stan=after(state, record.stan))
        case r.SignedIn():
            signed_in = Session(
                signed_in=True,
                wrapped_keys=record.wrapped_keys,
                generation=session.generation + (record.wrapped_keys != session.wrapped_keys),
                signed_in_at_ms=at_ms,
                clock_offset_ms=record.clock_offset_ms,
                terminal_generation=session.terminal_generation,
                terminal_keys=session.terminal_keys,
                host_batch=record.batch_number,
                out_because="",
            )
            batch = state.batch
            unsure = state.gap is not None and state.gap.number is None  # the batch of the backup keeps its own
            if record.batch_number is not None and state.settlement.phase is SettlementPhase.OPEN and not unsure:  # D7
                batch = replace(batch, number=record.batch_number)
            return replace(state, exchange=None, session=signed_in, batch=batch)
        case r.SignInFailed():
            out = replace(session, signed_in=False, out_because=record.because)
            return replace(state, exchange=None, session=out)
        case r.SignedOut():
            return replace(state, session=replace(session, signed_in=False, out_because=record.because))
        case r.SignInWanted():
            return replace(state, session=replace(session, renewal_wanted=True))
        case _:
            assert_never(record)


def _keys_given(session: Session, generation: int) -> Session:
    """The terminal has been given the held block, or is about to be."""
    newest = (session.wrapped_keys,) if session.wrapped_keys is not None else ()
    before = tuple(block for block in session.terminal_keys if block not in newest)
    keys = (*newest, *before)[:TERMINAL_KEYS_MAX]
    return replace(session, terminal_generation=generation, terminal_keys=keys)


def _transaction(
    state: State,
    record: r.AuthorisationStarted | r.Approved | r.Declined | r.OutcomeUnknown | r.NotSent | r.LateAnswer,
    at_ms: int,
) -> State:
    match record:
        case r.AuthorisationStarted():
            return _started(state, record, at_ms)
        case r.Approved():
            state = replace(state, unconfirmed=(*state.unconfirmed, record.request_id))
            return _answered(
                state,
                record,
                Input.APPROVED,
                facts=record.facts,
                approval_seen=True,
                approved_minor=record.approved_minor,
            )
        case r.Declined():
            return _answered(state, record, Input.DECLINED, facts=record.facts, unmaced=record.unmaced)
        case r.OutcomeUnknown():
            txn = state.find(record.request_id)
            seen = record.approval_seen or (txn is not None and txn.approval_seen)
            return _answered(state, record, Input.UNKNOWN, why=record.why, approval_seen=seen)
        case r.NotSent():
            return _answered(state, record, Input.NOT_SENT)
        case r.LateAnswer():
            if not record.approval:
                return state
            return change_txn(state, record.request_id, lambda txn: replace(txn, approval_seen=True))
        case _:
            assert_never(record)


def _answered(
    state: State, record: r.Approved | r.Declined | r.OutcomeUnknown | r.NotSent, what: Input, **facts: Any
) -> State:
    """The exchange is over, and this is what is known of the transaction now."""
    of = record.request_id
    return change_txn(end_exchange(state, of), of, lambda txn: replace(moved(txn, what), **facts))


def _started(state: State, record: r.AuthorisationStarted, at_ms: int) -> State:
    asked = {"partial_asked": record.partial_asked, "confirm": record.confirm, "chip": record.chip}
    txn = begun(state, record, TxnStatus.SENT, at_ms, **asked)
    return replace(
        state,
        transactions={**state.transactions, record.request_id: txn},
        exchange=Exchange(ExchangeKind.TRANSACTION, record.stan, at_ms, record.request_id),
        stan=after(state, record.stan),
    )
