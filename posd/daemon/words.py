"""What the states are called in plain words, in English. Data only; the Chinese for a shop is in cli/chinese.py."""

from collections.abc import Mapping

from posd.core.answers import ExchangeKind
from posd.core.rules import Why
from posd.core.state import CloseOutcome, ReversalStatus, SettlementPhase, TxnStatus

TRANSACTION: Mapping[TxnStatus, str] = {
    TxnStatus.SENT: "sent to the host, no answer yet",
    TxnStatus.APPROVED: "approved",
    TxnStatus.DECLINED: "declined, no money moved",
    TxnStatus.UNKNOWN: "outcome unknown, the terminal was told it failed",
    TxnStatus.REVERSED: "reversed, no money moved",
    TxnStatus.RESOLVED: "ended by a person",
}

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
}

PHASE: Mapping[SettlementPhase, str] = {
    SettlementPhase.OPEN: "open",
    SettlementPhase.DRAINING: "settling: delivering what is owed",
    SettlementPhase.TOTALS: "settling: asking the host for its totals",
    SettlementPhase.UPLOADING: "settling: the totals differ, uploading the transactions",
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
    ExchangeKind.ECHO: "testing the line",
    ExchangeKind.TRANSACTION: "finishing a transaction",
    ExchangeKind.REVERSAL: "delivering a reversal",
    ExchangeKind.TOTALS: "comparing the totals",
    ExchangeKind.UPLOAD: "uploading transactions",
    ExchangeKind.TRAILER: "closing the batch",
}
"""What is going on with the host, while it is."""
