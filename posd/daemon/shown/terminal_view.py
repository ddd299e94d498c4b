"""What `posd status` says of one terminal; what of it a person must know is in findings.py.

Pure, like views.py: it reads an adopted state, decides nothing, shows nothing that is not masked.
"""

from collections.abc import Iterable

from posd.core import chips, confirmations, limits, settlement
from posd.core.advices import undelivered_in_batch
from posd.core.draft import Draft
from posd.core.limits import Wait
from posd.core.rules import Rules, TxnKind
from posd.core.schedule import next_due_ms
from posd.core.state import NOT_TAKEN, AdviceStatus, LastClose, ReversalStatus, SettlementPhase, State
from posd.core.totals import counts, totals_of
from posd.core.transactions import blocked_by
from posd.daemon.shown import words
from posd.daemon.shown.download_view import failure_view, parameters_view
from posd.daemon.shown.gap_view import gap_view
from posd.daemon.shown.lately import Alerted
from posd.daemon.shown.proposal_views import proposal_views
from posd.daemon.shown.reasons import about_keys, reason
from posd.daemon.shown.views import Around, View, is_flagged, totals_view
from posd.values import format_amount

LATE_AFTER_S = 120
"""A settlement that is due and has not begun for so long is late."""


def terminal_view(state: State, around: Around) -> View:
    """Everything that `posd status` says of one terminal, but the findings."""
    transactions = list(state.transactions.values())
    held = state.held()
    statuses = [reversal.status for reversal in state.reversals.values() if not reversal.held]
    reports = {of for of in state.advices if (txn := state.find(of)) and txn.kind is TxnKind.SCRIPT_RESULT}
    waiting = {of: advice.status for of, advice in state.advices.items() if not (advice.held or state.is_over(advice))}
    advised = [status for of, status in waiting.items() if of not in reports]
    reported = [status for of, status in waiting.items() if of in reports]
    session = state.session
    return {
        "tid": state.tid,
        "fenced": around.fenced,
        "host": _host(state, around),
        "signed_in": session.signed_in,
        "signed_in_at": around.when(session.signed_in_at_ms) if session.signed_in else None,
        "signed_out_because": session.out_because,
        "clock_offset_s": round(session.clock_offset_ms / 1000) if session.clock_offset_ms is not None else None,
        "batch": {"number": state.batch.number, "opened_at": around.when(state.batch.opened_at_ms)},
        "transactions": {
            "count": len(transactions),
            "in_totals": sum(counts(txn, around.rules) for txn in transactions),
            "by_status": _count(txn.status.value for txn in transactions),
        },
        "totals": totals_view(totals_of(transactions, around.rules)),
        "reversals": {
            "owed": statuses.count(ReversalStatus.OWED),
            "stuck": statuses.count(ReversalStatus.STUCK),
            "conflict": statuses.count(ReversalStatus.CONFLICT),
            "held": sum(of in state.reversals for of in held),
        },
        "sales_blocked": blocked_by(state, around.rules),
        "advices": {
            "owed": advised.count(AdviceStatus.OWED),
            "stuck": advised.count(AdviceStatus.STUCK),
            "refused": advised.count(AdviceStatus.REFUSED),
            "doubtful": advised.count(AdviceStatus.DOUBTFUL),
            "held": sum(of in state.advices for of in held),
        },
        "flagged_approvals": [txn.request_id for txn in transactions if is_flagged(txn, around)],
        "unconfirmed_approvals": list(state.unconfirmed),
        "script_results": {
            "owed": reported.count(AdviceStatus.OWED) + reported.count(AdviceStatus.STUCK),
            "refused": sum(status in NOT_TAKEN for status in reported),
        },
        "scripts_not_told": [txn.request_id for txn in chips.unreported(state)],
        "refunds_in_doubt": [txn.request_id for txn in state.in_doubt()],
        "proposals": proposal_views(state, around),
        "parameters": parameters_view(state, around),
        "download_failed": failure_view(state, around),
        "restore_gap": gap_view(state, around),
        "settlement": settlement_view(state, around),
        "last_close": close_view(state.last_close, around) if state.last_close else None,
        "out_of_balance": close_view(state.out_of_balance, around) if state.out_of_balance else None,
        "alerted": [_alerted(one, around) for one in around.alerted],
    }


def _host(state: State, around: Around) -> str:
    """How it stands with the host in one word; what the journal remembers of a session is not how it is now."""
    if around.fenced:
        return "fenced"
    if not around.running:
        return "not_running"
    if not state.session.signed_in and about_keys(state.session.out_because):
        return "keys_wrong"
    if not around.link_up:
        return "no_line"
    return "signed_in" if state.session.signed_in else "signed_out"


def _alerted(one: Alerted, around: Around) -> View:
    return {
        "alert": one.event,
        "count": one.count,
        "first_at": around.when(one.first_ms),
        "last_at": around.when(one.last_ms),
        "age_s": round(around.age_s(one.last_ms)),
        "request_id": one.request_id or None,
    }


def settlement_view(state: State, around: Around) -> View:
    """Where the close of the open batch stands, when it is due, since when it is late, and what it waits for."""
    closing, now = state.settlement, around.now
    draft = Draft(around.rules, state, around.agenda, now)
    due = settlement.due(draft)
    nothing = settlement.nothing_to_settle(draft)
    waits = None if nothing and around.rules.skip_empty else settlement.waits(draft)
    due_since_ms = due[1] if due else closing.due_ms
    view: View = {
        "phase": closing.phase.value,
        "text": words.PHASE[closing.phase],
        "cause": (due[0].value if due else None) or (closing.cause.value if closing.cause else None),
        "standing": "",
        "next_due_at": around.when(next_due_ms(now.wall_ms, around.rules.due_times, around.rules.zone)),
        "due": due is not None or closing.phase is not SettlementPhase.OPEN,
        "due_since": around.when(due_since_ms),
        "begun_at": around.when(closing.begun_at_ms),
        "late": not nothing and waits is None and _is_late(state, around, due_since_ms if due else None),
        "failing": closing.phase in settlement.CLOSING and closing.asked >= around.rules.settle_attempts_max,
        "number_refused": _number_refused(state, around.rules),
        "nothing_to_settle": nothing,
        "deferred": _deferred(draft, around) if waits is Wait.DEFERRED else None,
        "held": _held(draft) if waits is Wait.HELD else None,
        "gap": state.gap is not None,
        "approved_by": closing.approved_by,
        "cutover_near": None if nothing else _cutover_near(around),
        "items": len(closing.items),
        "uploaded": closing.uploaded,
        "set_aside": len(closing.set_aside),
        "blocked_by": blockers(state, around) if due or closing.phase is not SettlementPhase.OPEN else [],
    }
    view["standing"] = _standing(view, state.last_close)
    return view


def _number_refused(state: State, rules: Rules) -> bool:
    """The host does not know the batch number that is ours to count; it was not silent before, and closed nothing."""
    closing, said = state.settlement, reason(state.settlement.postponed_because)
    refused = said is not None and said.facts.get("code") in rules.close.batch_gone
    return closing.phase is SettlementPhase.TOTALS and not closing.unanswered and refused


def _cutover_near(around: Around) -> str | None:
    """When the host cuts its day over, if that is soon."""
    at, now_ms = around.rules.host_cutover_at, around.now.wall_ms
    cutover_ms = next_due_ms(now_ms, (at,), around.rules.zone) if at is not None else None
    near = cutover_ms is not None and cutover_ms - now_ms <= limits.CUTOVER_WARNING_MS
    return around.when(cutover_ms) if near else None


def _standing(view: View, last: LastClose | None) -> str:
    """The whole in one word: settled, open, due, deferred, held, gap, late, settling, unconfirmed or failing."""
    if view["phase"] == SettlementPhase.UNCONFIRMED:
        return "unconfirmed"
    if view["gap"]:
        return "gap"
    for name in ("failing", "held", "deferred", "late"):
        if view[name]:
            return name
    if view["phase"] != SettlementPhase.OPEN:
        return "settling"
    if view["nothing_to_settle"]:
        return "settled" if last is not None else "open"
    return "due" if view["due"] else "open"


def _deferred(draft: Draft, around: Around) -> View:
    """Below the minimum: until the next due moment, by which more may have come (D23)."""
    rules, until_ms = around.rules, next_due_ms(around.now.wall_ms, around.rules.due_times, around.rules.zone)
    gross, minimum = limits.gross_minor(draft), rules.settle_minimum_minor
    return {
        "until": around.when(until_ms),
        "gross": format_amount(gross),
        "gross_minor": gross,
        "minimum": format_amount(minimum),
        "minimum_minor": minimum,
    }


def _held(draft: Draft) -> View:
    """Above the maximum: until a named person approves it (D23)."""
    gross, maximum = limits.gross_minor(draft), draft.rules.settle_maximum_minor
    return {
        "gross": format_amount(gross),
        "gross_minor": gross,
        "maximum": format_amount(maximum),
        "maximum_minor": maximum,
    }


def _is_late(state: State, around: Around, due_since_ms: int | None) -> bool:
    closing = state.settlement
    if state.gap is not None:
        return False  # it waits for a person, and that is said
    if closing.phase is SettlementPhase.UNCONFIRMED:
        return True
    if closing.phase is not SettlementPhase.OPEN:
        longest_s = around.rules.settle_hold_max_s + LATE_AFTER_S
        return closing.begun_at_ms is not None and around.age_s(closing.begun_at_ms) > longest_s
    if due_since_ms is not None:
        return around.age_s(due_since_ms) > LATE_AFTER_S
    return closing.wanted is not None and bool(closing.postponed_because)


def blockers(state: State, around: Around) -> list[View]:
    """What keeps this terminal's settlement from going on, the outermost first: `code` and `text` each."""
    found: list[tuple[str, str]] = []
    if not around.running:
        found.append(("daemon_down", "posd is not running"))
    elif around.fenced:
        found.append(("fenced", f"the terminal is fenced: {around.fenced}"))
    elif not around.link_up:
        found.append(("link_down", f"the line to the host is down{': ' if around.link_why else ''}{around.link_why}"))
    elif not state.session.signed_in:
        found.append(("signed_out", f"not signed in: {state.session.out_because}"))
    if state.gap is not None:
        found.append(("gap", "posd was restored from a backup; a person ends what is not known since"))
    owed = [reversal for reversal in state.unended_reversals() if not reversal.carried_over]
    if state.settlement.phase is SettlementPhase.UNCONFIRMED:
        found.append(("unconfirmed", "it is not known whether the host closed the batch; a person decides"))
    elif state.settlement.phase is SettlementPhase.DRAINING and owed:
        hold = f"they hold it {round(around.rules.settle_hold_max_s)} s at most"
        if around.rules.close.waits_for_reversals:
            hold = "it waits until they are, or until posd reversals resolve ends them"
        found.append(("reversals", f"{len(owed)} reversal(s) not acknowledged yet; {hold}"))
    undelivered = undelivered_in_batch(state)
    if state.settlement.phase is SettlementPhase.DRAINING and undelivered:
        longest_s = round(around.rules.settle_hold_max_s)
        found.append(("advices", f"{len(undelivered)} advice(s) not delivered yet; they hold it {longest_s} s at most"))
    unconfirmed = confirmations.still_open(state)
    if state.settlement.phase is SettlementPhase.DRAINING and unconfirmed:
        found.append(("confirmations", f"{len(unconfirmed)} approval(s) not confirmed by the till yet"))
    found += _waiting(state, around)
    if state.settlement.postponed_because:
        found.append(("postponed", state.settlement.postponed_because))
    return [{"code": code, "text": text} for code, text in found]


def _waiting(state: State, around: Around) -> list[tuple[str, str]]:
    """What it waits for by the shop's own wish (D23)."""
    draft = Draft(around.rules, state, around.agenda, around.now)
    if settlement.skippable(draft):
        return []
    match settlement.waits(draft):
        case Wait.HELD:
            held = _held(draft)
            return [("held", f"held: {held['gross']} is above the maximum of {held['maximum']}; a person approves it")]
        case Wait.DEFERRED:
            deferred = _deferred(draft, around)
            below = f"{deferred['gross']} is below the minimum of {deferred['minimum']}"
            return [("deferred", f"deferred until {deferred['until']}: {below}")]
        case _:
            return []


def close_view(close: LastClose, around: Around) -> View:
    """How a batch was closed."""
    return {
        "batch": close.batch_number,
        "outcome": close.outcome.value,
        "text": words.OUTCOME[close.outcome],
        "begun_at": around.when(close.begun_at_ms),
        "closed_at": around.when(close.closed_at_ms),
        "totals": totals_view(close.totals),
        "carried_over": close.carried_over,
    }


def _count(values: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    return counted
