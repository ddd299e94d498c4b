"""What a person may see of one terminal, one transaction, one reversal: plain, JSON-able dictionaries in plain words.

Pure functions of an adopted state and what is around it. They decide nothing and change nothing, and everything they
show is masked already: a state holds no card number. Amounts come twice, as text ("12.30") and in minor units; times
are local ISO 8601 in the terminal's own zone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posd.core import chips
from posd.core.answers import AnswerFacts, GroupCount, Totals
from posd.core.diagnosis import Sign, Surroundings, diagnose
from posd.core.draft import Agenda
from posd.core.reversals import due_key
from posd.core.rules import Rules, TxnKind
from posd.core.schedule import local
from posd.core.state import AdviceStatus, Reversal, ReversalStatus, State, Transaction, TxnStatus
from posd.core.totals import counts
from posd.daemon.shown import words
from posd.daemon.shown.lately import Alerted
from posd.daemon.till.orders import till_request
from posd.iso8583 import printed
from posd.values import Now, format_amount

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Around:
    """What is true around a state. `running`: a daemon holds it; else the journal was read, and the line is unknown.

    `meanings`: response code -> what it means, in the dialect's words. `flagged`: codes of approvals with a
    reservation. `alerted`: what was alerted of this terminal since the start.
    """

    rules: Rules
    now: Now
    running: bool = True
    agenda: Agenda = field(default_factory=Agenda)
    link_up: bool = False
    link_why: str = ""
    fenced: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)
    flagged: frozenset[str] = frozenset()
    alerted: tuple[Alerted, ...] = ()

    def when(self, wall_ms: int | None) -> str | None:
        """A moment in the terminal's zone: '2026-03-02T23:00:00+08:00'."""
        return None if wall_ms is None else local(wall_ms, self.rules.zone).isoformat(timespec="seconds")

    def age_s(self, wall_ms: int) -> float:
        """Seconds since a moment."""
        return (self.now.wall_ms - wall_ms) / 1000


# --- one transaction ---------------------------------------------------------------------------------------------


def transaction_view(txn: Transaction, state: State, around: Around) -> View:
    """One transaction, with its reversal if it has one."""
    reversal = state.reversals.get(txn.request_id)
    facts = txn.facts
    code = facts.code if facts else None
    return {
        "request_id": txn.request_id,
        "tid": state.tid,
        "kind": txn.kind.value,
        "status": txn.status.value,
        "text": _text(txn, state),
        "amount": format_amount(txn.amount_minor),
        "amount_minor": txn.amount_minor,
        "card": txn.card.masked if txn.card else None,
        "entry_mode": txn.entry_mode,
        "reference": txn.reference,
        "tip": format_amount(txn.tip_minor) if txn.tip_minor else None,
        "at": around.when(txn.at_ms),
        "batch": txn.batch_number,
        "stan": txn.stan,
        "invoice": f"{txn.invoice:06d}" if txn.invoice else None,
        "terminal_batch": txn.terminal_batch,
        "terminal_stan": txn.terminal_stan,
        "rrn": facts.rrn if facts else None,
        "approval_code": facts.approval_code if facts else None,
        **_printed(facts),
        "chip": words.CHIP[result] if (result := chips.result_of(state, txn)) is not None else "",
        "scripts": _scripts(txn, state),
        "code": code,
        "meaning": around.meanings.get(code, "") if code else "",
        "why_unknown": words.WHY[txn.why] if txn.why and txn.status is not TxnStatus.APPROVED else "",
        "approval_seen": txn.approval_seen,
        "given_to_terminal": _given(txn, state),
        "original": txn.original,
        "approved_minor": txn.approved_minor,
        "unmaced_decline": txn.unmaced,
        "found_out": _found_out(txn),
        "flagged": is_flagged(txn, around),
        "replaced_by": txn.replaced_by,
        "delivery": _delivery(txn, state),
        "to_do": _to_do(txn, around),
        "in_totals": counts(txn, around.rules),
        "reversal": reversal_view(reversal, state, around) if reversal else None,
    }


def _printed(facts: AnswerFacts | None) -> View:
    """What the host said to be shown: institutions, balances, the scheme, and its remarks."""
    issuer, acquirer = printed.institutions(facts.parties if facts else None)
    told = printed.balances(facts.balances if facts else None)
    return {
        "issuer": issuer,
        "acquirer": acquirer,
        "balances": [{"kind": one.kind, "currency": one.currency, "minor": one.minor} for one in told],
        "scheme": (facts.scheme or "").strip() if facts else "",
        "remarks": printed.remarks(facts.remarks if facts else None),
    }


def _scripts(txn: Transaction, state: State) -> View | None:
    """Issuer scripts that came with the approval, and the advice with which the terminal told their result."""
    count = txn.facts.scripts if txn.facts else 0
    reports = [one.request_id for one in every_transaction(state) if _reports(one, txn)]
    return {"count": count, "told": reports[-1] if reports else None} if count or reports else None


def _reports(one: Transaction, of: Transaction) -> bool:
    return one.kind is TxnKind.SCRIPT_RESULT and one.original == of.request_id


def is_flagged(txn: Transaction, around: Around) -> bool:
    """Approved with a reservation (reference 1.13, A2 and A4 to A6)."""
    return txn.status is TxnStatus.APPROVED and txn.facts is not None and txn.facts.code in around.flagged


def _text(txn: Transaction, state: State) -> str:
    """What became of it; of an advice that the host refused, how sure that is."""
    advice = state.advices.get(txn.request_id)
    doubtful = advice is not None and advice.status is AdviceStatus.DOUBTFUL
    return words.ADVICE[AdviceStatus.DOUBTFUL] if doubtful else words.TRANSACTION[txn.status]


def _delivery(txn: Transaction, state: State) -> str:
    """Where an advice stands with the host; empty: it is none."""
    advice = state.advices.get(txn.request_id)
    return words.ADVICE[advice.status] if advice is not None else ""


def _to_do(txn: Transaction, around: Around) -> str:
    if txn.status is TxnStatus.IN_DOUBT:
        return words.TO_DO_IN_DOUBT.format(id=txn.request_id)
    return words.TO_CONFIRM if is_flagged(txn, around) else ""


def _given(txn: Transaction, state: State) -> bool | None:
    """Whether the terminal is known to have the approval; None: there is none to give (D16)."""
    if txn.status is not TxnStatus.APPROVED:
        return None
    return txn.handed_over or txn.request_id not in state.unconfirmed


def _found_out(txn: Transaction) -> str:
    """How a refund in doubt was found out (D13); empty: it was not."""
    known = txn.found_out
    if known is None:
        return ""
    who = f" by {known.by}: {known.reason}" if known.by else ""
    return f"{'it happened' if known.happened else 'it did not happen'}: {words.FOUND_OUT[known.how]}{who}"


def every_transaction(state: State) -> list[Transaction]:
    """Those of the last closed batch (and older ones that still owe), then those of the open one."""
    return [*state.closed.values(), *state.transactions.values()]


def named(state: State, name: str) -> list[Transaction]:
    """Those that a person may mean: by request id, RRN, a till's key or reference, or TID/STAN (of either side)."""
    return [txn for txn in every_transaction(state) if _is_named(txn, state, name)]


def _is_named(txn: Transaction, state: State, name: str) -> bool:
    if name and name in (txn.request_id, txn.facts.rrn if txn.facts else None, txn.reference):
        return True
    if name and txn.request_id == till_request(state.tid, name):
        return True
    tid, slash, stan = name.partition("/")
    return bool(slash) and tid == state.tid and stan.isdecimal() and int(stan) in (txn.stan, txn.terminal_stan)


# --- one reversal ------------------------------------------------------------------------------------------------


def reversal_view(reversal: Reversal, state: State, around: Around) -> View:
    """One reversal: why it is owed, what was tried, when it is tried next, what a person can do."""
    txn = state.find(reversal.request_id)
    return {
        "request_id": reversal.request_id,
        "tid": state.tid,
        "status": words.HELD if reversal.held else reversal.status.value,
        "text": words.HELD_TEXT if reversal.held else words.REVERSAL[reversal.status],
        "kind": txn.kind.value if txn else None,
        "amount": format_amount(txn.amount_minor) if txn else None,
        "amount_minor": txn.amount_minor if txn else None,
        "card": txn.card.masked if txn and txn.card else None,
        "batch": txn.batch_number if txn else None,
        "stan": txn.stan if txn else None,
        "why_owed": words.WHY[reversal.why],
        "reason": reversal.reason,
        "owed_since": around.when(reversal.owed_at_ms),
        "attempts": reversal.attempts,
        "attempts_max": around.rules.reversal_attempts_max,
        "unanswered": reversal.unanswered,
        "refused": reversal.refused,
        "last_attempt_at": around.when(reversal.last_attempt_ms),
        "last_code": reversal.last_code,
        "meaning": around.meanings.get(reversal.last_code, "") if reversal.last_code else "",
        "approval_seen": txn.approval_seen if txn else None,
        "carried_over": reversal.carried_over,
        "flagged": reversal.flagged,
        "resolved_by": reversal.resolved_by,
        "resolved_reason": reversal.resolved_reason,
        "on_its_way": bool(state.exchange and state.exchange.request_id == reversal.request_id),
        "next_try_at": _next_try(reversal, around),
        "to_do": (words.HELD_TO_DO if reversal.held else words.TO_DO[reversal.status]).format(
            id=reversal.request_id, verb="reversals"
        ),
        "diagnosis": diagnosis_view(reversal, state, around),
    }


def diagnosis_view(reversal: Reversal, state: State, around: Around) -> View:
    """The cause with its evidence, what is so now first, then what happened, oldest first; `at` None: it is so now."""
    surroundings = Surroundings(around.running, around.link_up, around.link_why, state.session)
    found = diagnose(reversal, state.find(reversal.request_id), surroundings)
    return {
        "cause": found.cause.value,
        "text": words.DIAGNOSIS[found.cause],
        "to_do": words.LOOK_AT[found.cause],
        "evidence": [{"at": around.when(sign.at_ms), "text": _sign(sign, around)} for sign in found.signs],
    }


def _sign(sign: Sign, around: Around) -> str:
    outcome = "its answer is waited for"
    if sign.code is not None:
        outcome = f"answered {sign.code} {around.meanings.get(sign.code, '')}".strip()
    elif sign.why is not None:
        outcome = words.WHY[sign.why]
    why = words.WHY[sign.why] if sign.why is not None else ""
    reason = f" with reason {sign.reason}" if sign.reason else ""  # not every dialect sends one
    return words.SIGN[sign.of].format(why=why, reason=reason, outcome=outcome, detail=sign.detail).rstrip(": ")


def _next_try(reversal: Reversal, around: Around) -> str | None:
    """When its gap is over, if that is known; the line may still be down then."""
    not_before_s = around.agenda.not_before_s.get(due_key(reversal.request_id))
    if reversal.held or not_before_s is None or reversal.status not in (ReversalStatus.OWED, ReversalStatus.STUCK):
        return None
    wait_ms = max(0, round((not_before_s - around.now.monotonic_s) * 1000))
    return around.when(around.now.wall_ms + wait_ms)


# --- totals --------------------------------------------------------------------------------------------------------


def totals_view(totals: Totals) -> View:
    """Both groups of a batch."""
    return {"domestic": _group(totals.domestic), "foreign": _group(totals.foreign)}


def _group(group: GroupCount) -> View:
    return {
        "debit": format_amount(group.debit_minor),
        "debit_minor": group.debit_minor,
        "debit_count": group.debit_count,
        "credit": format_amount(group.credit_minor),
        "credit_minor": group.credit_minor,
        "credit_count": group.credit_count,
    }
