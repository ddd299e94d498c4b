"""What the states are called in plain words, in English. Data only; the Chinese for a shop is in cli/chinese.py."""

from collections.abc import Mapping
from typing import Any

from posd.core.answers import ExchangeKind
from posd.core.diagnosis import Cause, SignOf
from posd.core.proposed import Deed, ProposalEnd
from posd.core.rules import Why
from posd.core.state import (
    AdviceStatus,
    ChipResult,
    CloseOutcome,
    Evidence,
    ReversalStatus,
    Settled,
    SettlementCause,
    SettlementPhase,
    TxnStatus,
)
from posd.daemon.links.route_choice import Health

TRANSACTION: Mapping[TxnStatus, str] = {
    TxnStatus.SENT: "sent to the host, no answer yet",
    TxnStatus.APPROVED: "approved",
    TxnStatus.DECLINED: "declined, no money moved",
    TxnStatus.UNKNOWN: "outcome unknown, the terminal was told it failed",
    TxnStatus.REVERSED: "reversed, no money moved",
    TxnStatus.RESOLVED: "ended by a person",
    TxnStatus.IN_DOUBT: "IN DOUBT: nobody knows whether this refund happened; it is never reversed nor sent again",
    TxnStatus.NOT_DONE: "found out: the host never did it, no money moved",
    TxnStatus.STORED: "done at the terminal, and not delivered to the host yet",
    TxnStatus.REFUSED: "done at the terminal, but the host will not have it",
    TxnStatus.CANCELLED: "taken back by the terminal before it left",
    TxnStatus.NOT_SENT: "not sent: the line took none of it, no money moved",
}

CHIP: Mapping[ChipResult, str] = {
    ChipResult.ACCEPTED: "accepted, as far as the terminal has told",
    ChipResult.REFUSED: "the chip refused it after the approval",
    ChipResult.UNPROVEN: "the chip accepted it, but could not prove its issuer's word",
}

TO_CONFIRM = "approved with a reservation: have the issuer confirm it (the acquirer says how)"
"""What to do about an approval with a flag (reference 1.13)."""

ADVICE: Mapping[AdviceStatus, str] = {
    AdviceStatus.OWED: "owed: posd delivers it after the next approval, and before the settlement",
    AdviceStatus.STUCK: "stuck: still owed, tried slowly, somebody should look",
    AdviceStatus.REFUSED: "refused by the host: not sent again; it counts, and is uploaded when the totals differ",
    AdviceStatus.DOUBTFUL: (
        "refused by the host, and it may have booked it all the same: an attempt before was not answered, or it had "
        "something under this number; it counts, is uploaded when the totals differ, and the totals may tell"
    ),
    AdviceStatus.DONE: "the host has it",
    AdviceStatus.CANCELLED: "taken back by the terminal before it left",
    AdviceStatus.RESOLVED: "ended by a person",
}

ADVICE_TO_DO: Mapping[AdviceStatus, str] = {
    AdviceStatus.OWED: "nothing; to try at once: posd advices retry {id}",
    AdviceStatus.STUCK: (
        "ask the acquirer whether they have it; then: posd advices retry {id}, or, when it is settled with them: "
        "posd advices resolve {id} --by NAME --reason TEXT"
    ),
    AdviceStatus.REFUSED: (
        "ask the acquirer why; settle it with them, then: posd advices resolve {id} --by NAME --reason TEXT"
    ),
    AdviceStatus.DOUBTFUL: (
        "ask the acquirer whether they booked it; settle it with them, then: "
        "posd advices resolve {id} --by NAME --reason TEXT"
    ),
    AdviceStatus.DONE: "",
    AdviceStatus.CANCELLED: "",
    AdviceStatus.RESOLVED: "",
}

SETTLED: Mapping[Settled, str] = {
    Settled.UPLOAD: "it took it in the upload",
    Settled.TOTALS: "its totals agree with it",
}
"""How the host was found to have an advice that it had not acknowledged."""

FOUND_OUT: Mapping[Evidence, str] = {
    Evidence.PERSON: "so it was said",
    Evidence.LATE_ANSWER: "the host's answer came late",
    Evidence.REPEAT: "the host knew it when it was repeated",
    Evidence.RECONCILIATION: "the host's totals agreed without it",
}
"""How a refund in doubt was found out (D13)."""

TO_DO_IN_DOUBT = (
    "ask the acquirer whether the customer has the money; then: "
    "posd txn resolve {id} --happened yes|no --by NAME --reason TEXT"
)

REVERSAL: Mapping[ReversalStatus, str] = {
    ReversalStatus.OWED: "owed: posd tries until the host acknowledges it",
    ReversalStatus.STUCK: "stuck: still owed, tried slowly, somebody should look",
    ReversalStatus.CONFLICT: "in conflict: the host denies a transaction that it approved; a person must end this",
    ReversalStatus.ACKNOWLEDGED: "acknowledged by the host",
    ReversalStatus.RESOLVED: "ended by a person",
}

TO_DO: Mapping[ReversalStatus, str] = {
    ReversalStatus.OWED: "nothing; to try at once: posd reversals retry {id}",
    ReversalStatus.STUCK: (
        "ask the acquirer what became of the transaction; then: posd reversals retry {id}, or, when it is settled with "
        "them: posd reversals resolve {id} --by NAME --reason TEXT"
    ),
    ReversalStatus.CONFLICT: (
        "ask the acquirer whether the money moved, settle it with them; then: "
        "posd reversals resolve {id} --by NAME --reason TEXT"
    ),
    ReversalStatus.ACKNOWLEDGED: "",
    ReversalStatus.RESOLVED: "",
}

DIAGNOSIS: Mapping[Cause, str] = {
    Cause.LINE: "the line",
    Cause.HOST: "the host",
    Cause.KEY: "the keys",
    Cause.OURS: "posd, or how it is registered",
    Cause.TERMINAL: "the terminal",
}
"""Where the cause of an owed reversal lies."""

LOOK_AT: Mapping[Cause, str] = {
    Cause.LINE: "look at the line to the acquirer; it goes out as soon as the line is up",
    Cause.HOST: "ask the acquirer why the host does not acknowledge it",
    Cause.KEY: "ask the acquirer about the terminal's keys (TMK, MAC); posd signs in by itself",
    Cause.OURS: "look at posd's log; if the host refuses the message, compare merchant and terminal with the acquirer",
    Cause.TERMINAL: "nothing, if the terminal meant it",
}
"""What a person can do about the cause, beside what can be done about the reversal (TO_DO)."""

SIGN: Mapping[SignOf, str] = {
    SignOf.OWED: "owed: {why}",
    SignOf.ATTEMPT: "attempt{reason}: {outcome}",
    SignOf.CANNOT_ENCODE: "it cannot be encoded: {detail}",
    SignOf.NOT_RUNNING: "posd is not running",
    SignOf.LINE_DOWN: "the line is down: {detail}",
    SignOf.SIGNED_OUT: "not signed in: {detail}",
    SignOf.APPROVAL_SEEN: "the host was seen to approve the original",
}

WHY: Mapping[Why, str] = {
    Why.TIMEOUT: "the host did not answer in time",
    Why.LINK: "the line was lost before the answer",
    Why.MAC: "the answer's MAC was missing or wrong",
    Why.UNREADABLE: "the answer could not be read, or did not fit the request",
    Why.UNCONFIRMED: "the host's answer does not say whether money moved",
    Why.PARTIAL: "the host approved a part that was not asked for",
    Why.REFUSED_BY_CHIP: "the chip refused after the host's approval",
    Why.RESTART: "posd was restarted before the answer",
    Why.TERMINAL: "the terminal asked for the reversal",
    Why.NOT_CONFIRMED: "the till did not confirm the approval in time",
    Why.NOT_SENT: "the line took none of it, so it never left",
}

ROUTE: Mapping[Health, str] = {
    Health.CONNECTING: "connecting",
    Health.UP: "up",
    Health.FAILED: "down: it has failed, posd tries on",
    Health.PROVING: "connected, and not trusted yet",
}

ROUTE_UNKNOWN = "posd is not running"

PHASE: Mapping[SettlementPhase, str] = {
    SettlementPhase.OPEN: "open",
    SettlementPhase.DRAINING: "settling: delivering what is owed",
    SettlementPhase.TOTALS: "settling: asking the host for its totals",
    SettlementPhase.UPLOADING: "settling: uploading transactions",
    SettlementPhase.TRAILER: "settling: closing the batch",
    SettlementPhase.UNCONFIRMED: "settling: not known whether the host closed the batch",
}

OUTCOME: Mapping[CloseOutcome, str] = {
    CloseOutcome.AGREED: "closed, totals agreed",
    CloseOutcome.OUT_OF_BALANCE: "closed, but the totals did not agree",
    CloseOutcome.UNCONFIRMED: "closed by the next batch number or by a person, not confirmed by the host",
    CloseOutcome.EMPTY: "nothing to settle",
}

DOING: Mapping[ExchangeKind, str] = {
    ExchangeKind.SIGN_IN: "signing in",
    ExchangeKind.SIGN_OFF: "signing off",
    ExchangeKind.MANAGEMENT: "downloading",
    ExchangeKind.ECHO: "testing the line",
    ExchangeKind.TRANSACTION: "finishing a transaction",
    ExchangeKind.REVERSAL: "delivering a reversal",
    ExchangeKind.TOTALS: "comparing the totals",
    ExchangeKind.UPLOAD: "uploading transactions",
    ExchangeKind.TRAILER: "closing the batch",
}
"""What is going on with the host, while it is."""


DEED: Mapping[Deed, str] = {
    Deed.APPROVE_SETTLEMENT: "let the held settlement begin",
    Deed.DECIDE_SETTLEMENT: "decide that the host has the batch {choice}",
    Deed.RESOLVE_REVERSAL: "end the reversal",
    Deed.RESOLVE_ADVICE: "end the advice",
    Deed.RESOLVE_REFUND: "resolve the refund in doubt, happened: {choice}",
}
"""What waits for a second person."""

SECOND: Mapping[Deed, str] = {
    Deed.APPROVE_SETTLEMENT: "posd settle --tid {tid} --approve --reason TEXT",
    Deed.DECIDE_SETTLEMENT: "posd settle --tid {tid} --decide {choice} --reason TEXT",
    Deed.RESOLVE_REVERSAL: "posd reversals resolve {id} --reason TEXT",
    Deed.RESOLVE_ADVICE: "posd advices resolve {id} --reason TEXT",
    Deed.RESOLVE_REFUND: "posd txn resolve {id} --happened {choice} --reason TEXT",
}
"""What the second person types, under a user of their own."""

PROPOSAL_ENDED: Mapping[ProposalEnd, str] = {
    ProposalEnd.CONFIRMED: "a second person said the same",
    ProposalEnd.WITHDRAWN: "taken back",
    ProposalEnd.EXPIRED: "nobody seconded it in time",
    ProposalEnd.OUTGROWN: "more is at stake than the first person saw; it begins anew",
    ProposalEnd.ONE_IS_ENOUGH: "so little is at stake that one person is enough",
    ProposalEnd.OVERTAKEN: "what it was about is over",
}

CAUSE: Mapping[SettlementCause, str] = {
    SettlementCause.SCHEDULE: "the schedule",
    SettlementCause.OPERATOR: "a person",
    SettlementCause.TERMINAL: "the terminal's own close",
    SettlementCause.HOST_BATCH_CHANGED: "the host's new batch number",
    SettlementCause.CAPACITY: "a full batch",
}

SUSPECT: Mapping[str, str] = {
    "declined_without_mac": "declined by an answer without a MAC: the host may have approved it (D10)",
    "conflict": "the host denies a transaction that it approved",
    "carried_over": "its reversal was acknowledged only after the totals",
    "reversal_owed": "its reversal is not acknowledged yet",
    "flagged": "its reversal ended with a code that could also mean: never seen",
    "in_doubt": "its outcome was never known, and it is not reversed",
    "advice_doubtful": "an advice that the host refused, and may have booked all the same",
    "advice_refused": "an advice that the host refused",
    "advice_owed": "an advice that the host had not acknowledged",
    "resolved_by_a_person": "a person ended its reversal",
    "set_aside": "it was set aside in the upload: the host refused it, or it could not be encoded",
}
"""What may explain a difference, the likeliest first."""

HELD = "held"
HELD_TEXT = "owed in a backup that was restored, and held: nobody knows what became of it since"
HELD_TO_DO = (
    "ask the acquirer; not done there: posd {verb} retry {id} sends it; done: posd {verb} resolve {id} --by NAME "
    "--reason TEXT"
)

JUDGED = "totals_judged"
"""The answer to totals of one group."""

EVENT: Mapping[str, str] = {
    "settlement_wanted": "wanted by {cause}",
    "batch_number_set": "the open batch was given number {number:06d}",
    "settlement_postponed": "due, and postponed",
    "settlement_deferred": "due {due}, deferred: {gross} is below the minimum of {minimum}",
    "settlement_held": "held: {gross} is above the maximum of {maximum}",
    "settlement_approved": "approved at {gross}",
    "decision_proposed": "{deed}, at {amount}: waits for a second person",
    "proposal_ended": "the wait for a second person is over: {how}",
    "settlement_begun": "begun, wanted by {cause}",
    "batch_skipped": "nothing to settle",
    "reversal_carried_over": "the reversal of {request_id} is not acknowledged, and carried over",
    "advice_carried_over": "the advice {request_id} is not delivered; it counts, and is carried over",
    "totals_asked": "our totals sent to the host, trace {stan:06d}",
    "totals_unanswered": "no usable answer to the totals",
    "totals_not_sent": "the line took none of the totals: the host was not asked",
    "totals_answered": "the host's totals: domestic {domestic}, foreign {foreign}; {items} item(s) to upload",
    JUDGED: "the host on our totals: {domestic}; {items} item(s) to upload",
    "settlement_unconfirmed": "not known whether the host closed the batch",
    "settlement_decided": "decided that the host {decided}",
    "upload_sent": "upload of {count} item(s) after the first {cursor}, trace {stan:06d}",
    "upload_acknowledged": "{cursor} item(s) uploaded",
    "upload_unanswered": "the upload was not acknowledged",
    "upload_set_aside": "{request_ids} item(s) set aside, {aside}",
    "trailer_sent": "end message sent, {uploaded} item(s) uploaded, trace {stan:06d}",
    "trailer_unanswered": "the end message was not acknowledged",
    "batch_closed": "{outcome}; the next batch is {next_number:06d}",
    "lane_restored": "posd was restored from the backup {backup}; what came after it is not known",
    "gap_resolved": "what was not known since the restore was reconciled",
    "terminal_closed": "the terminal closed its own batch {terminal_batch:06d}, its totals {agreed}",
    "terminal_items_compared": "the terminal uploaded {stans} item(s), batch {terminal_batch:06d}; {differing} differ",
    "terminal_upload_ended": (
        "the terminal ended its upload of batch {terminal_batch:06d}: {stated} stated, {seen} seen, {missing} missing"
    ),
}
"""The records of a close, as a person reads them; cause, outcome and the like are words already."""

BESIDE: Mapping[str, str] = {
    "daemon_started": "posd {version} started",
    "daemon_stopped": "posd stopped",
    "line_changed": "the line to the host {line}",
    "sign_in_failed": "the sign-in failed",
    "last_row": "the last that posd wrote ({what})",
}
"""Rows beside a close that explain why it was late."""

DAY: Mapping[str, str] = {
    "done": "done",
    "not_due": "not due yet",
    "empty": "nothing to settle",
    "deferred": "deferred, below the minimum",
    "under_way": "under way",
    "forgotten": "FORGOTTEN: due, and not done",
    "unknown": "UNKNOWN: whether it was settled cannot be told",
}

DAY_CAUSE: Mapping[str, str] = {
    "held": "held above the maximum, a person has to approve it",
    "restored": "an older journal was restored, and a person had to end what is not known",
    "daemon_down": "posd was not running",
    "clock": "our clock and the host's differed",
    "host_refused": "the host refused",
    "line": "the line to the host was down",
    "host_unconfirmed": "the host did not say whether it closed the batch",
    "host_silent": "the host did not answer",
    "sign_in": "the sign-in failed",
    "postponed": "it was postponed",
    "configuration": "posd was up and nothing was in its way: the configured times were others then",
}


def sentence_of(kind: str, facts: Mapping[str, Any]) -> str:
    """Which sentence tells this record."""
    return JUDGED if kind == "totals_answered" and "foreign" not in facts else kind


def event(kind: str, facts: Mapping[str, Any]) -> str:
    """One record of a close in a sentence; `facts` as in settlement_report."""
    said = dict(facts)
    if "cause" in said:
        said["cause"] = CAUSE[SettlementCause(said["cause"])]
    if "outcome" in said:
        said["outcome"] = OUTCOME[CloseOutcome(said["outcome"])]
    if "deed" in said:
        said["deed"] = DEED[Deed(said["deed"])].format(choice=facts.get("choice", ""))
    if "how" in said:
        said["how"] = PROPOSAL_ENDED[ProposalEnd(said["how"])]
    said["aside"] = f"the host refused them with {facts['code']}" if facts.get("code") else "they cannot be encoded"
    said["line"] = "came up" if facts.get("up") else "went down"
    said["decided"] = "closed it" if facts.get("closed") else "did not close it"
    said["agreed"] = "are ours" if facts.get("agreed") else "DIFFER from ours"
    text = {**EVENT, **BESIDE}[sentence_of(kind, facts)].format(**said)
    text += f", attempt {facts['attempt']}" if facts.get("attempt", 1) > 1 else ""
    text += f", by {facts['by']}" if facts.get("by") else ""
    text += f" ({facts['who']})" if facts.get("who", facts.get("by")) != facts.get("by") else ""
    why = facts.get("because") or facts.get("reason") or facts.get("why")
    return f"{text}: {why}" if why else text
