"""The NAC / Hypercom dialect as data: which transaction is which, what it carries, what our refusals are called.

Sources: reference 2.2 (fields), 2.3 (messages), 2.4 (private fields, totals), 2.6 (reversals), 2.7 (codes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from posd.core.effects import Refusal
from posd.core.rules import CloseRules, KindRules, OriginalRules, Side, TxnKind, Why

LOGON, ECHO, SETTLE, CLOSE, CERTIFICATES = "920000", "990000", "920000", "960000", "940000"
"""Field 3 of what moves no money (reference 2.3)."""

NORMAL, PREAUTH_CONDITION = "00", "06"
MORE_FOLLOWS = "1"
"""Last digit of field 3 of an upload after which others follow, where a host wants it (reference 2.3)."""

TRANSFER = "95"
"""The host wants the batch uploaded (reference 2.5)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the message catalogue (reference 2.3): MTI, the first two digits of field 3, and what is passed on.

    `refers`: it names an original, by fields 37 and 62. `tells_original`: field 60 is the amount until now.
    """

    mti: str
    process: str
    passed_on: tuple[int, ...] = ()
    condition: str = NORMAL
    refers: bool = False
    tells_original: bool = False


_CARD = (2, 14, 22, 23, 35, 45, 48, 52, 54, 55)
_TYPED = (2, 14, 22, 23, 35, 45, 52)

MATRIX: Mapping[TxnKind, Row] = MappingProxyType(
    {
        TxnKind.SALE: Row("0200", "00", _CARD),
        TxnKind.REFUND: Row("0200", "20", _CARD),
        TxnKind.VOID: Row("0200", "02", _TYPED, refers=True),
        TxnKind.REFUND_VOID: Row("0200", "22", _TYPED, refers=True),
        TxnKind.PREAUTH: Row("0100", "30", _CARD, PREAUTH_CONDITION),
        TxnKind.OFFLINE_SALE: Row("0220", "00"),
        TxnKind.COMPLETION_NOTICE: Row("0220", "00", refers=True),
        TxnKind.VOID_NOTICE: Row("0220", "02", refers=True, tells_original=True),
        TxnKind.ADJUST: Row("0220", "02", refers=True, tells_original=True),
        TxnKind.TIP: Row("0220", "02", refers=True, tells_original=True),
        TxnKind.CERTIFICATE: Row("0320", CERTIFICATES[:2], refers=True),
    }
)

KIND_OF: Mapping[tuple[str, str], TxnKind] = MappingProxyType(
    {(row.mti, row.process): kind for kind, row in reversed(list(MATRIX.items()))}
    | {("0200", "01"): TxnKind.SALE, ("0100", "00"): TxnKind.PREAUTH, ("0220", "02"): TxnKind.ADJUST}
)
"""By MTI and the first two digits of field 3. A 0220/00 that names a pre-authorisation completes it, a 0220/02 with a
tip adds it, one with amount zero voids: from_terminal.py."""

ONLINE_ONLY: Mapping[tuple[str, str], str] = MappingProxyType(
    {("0220", "20"): "0200/200000", ("0220", "22"): "0200/220000"}
)
"""Advices of refunds, and what to send instead. A refund gives money for good: it is never kept and delivered later
(D13), nor changed or undone so. Whoever tells of one has an answer of the host's for it, or has given nothing yet."""

APPROVED_OFFLINE = frozenset({"00", "08", "11", "Y1", "Y3"})
"""Field 39 of an advice, where its terminal says it. With Z1 or Z3 the chip declined, and no money moved (2.7)."""

TOLD = frozenset(kind for kind, row in MATRIX.items() if row.mti in ("0220", "0320"))
"""What tells of something that has happened."""

COMPLETION_PERCENT_MAX = 115
"""A completion may take up to so much of the held amount [L: general knowledge, the reference does not say], unless the
acquirer says otherwise: host.completion_percent_max."""

ADJUSTABLE = frozenset({TxnKind.SALE, TxnKind.OFFLINE_SALE, TxnKind.COMPLETION_NOTICE, TxnKind.ADJUST, TxnKind.TIP})


def kinds_of(voids: str, refunds: str = "reversed") -> Mapping[TxnKind, KindRules]:
    """What each kind is worth. `voids`: "excluded" from totals and upload, or "credited" on the other side (2.4).

    `refunds`: without an outcome they are "reversed" as every online request is (2.6), or "in_doubt" as D13 has it.
    """
    excluded = voids == "excluded"
    given_back, taken_again = (Side.NEITHER, Side.NEITHER) if excluded else (Side.CREDIT, Side.DEBIT)
    void = OriginalRules(ADJUSTABLE, takes_back=True, uncounts=excluded)
    refund_void = OriginalRules(frozenset({TxnKind.REFUND}), takes_back=True, uncounts=excluded)
    replaces = OriginalRules(ADJUSTABLE, replaces=True, changes=True, percent_min=0, percent_max=None)
    tips = OriginalRules(ADJUSTABLE, replaces=True, changes=True, tips=True, percent_min=0, percent_max=None)
    completes = OriginalRules(
        frozenset({TxnKind.PREAUTH}), known=False, percent_min=0, percent_max=COMPLETION_PERCENT_MAX
    )
    of_sale = OriginalRules(frozenset({TxnKind.SALE}), known=False, shared=True, percent_min=0)
    of_chip = OriginalRules(frozenset({TxnKind.SALE, TxnKind.OFFLINE_SALE}), known=False, reports=True)
    return MappingProxyType(
        {
            TxnKind.SALE: KindRules(True, Side.DEBIT),
            TxnKind.REFUND: KindRules(
                refunds == "reversed", Side.CREDIT, of_sale, never_deferred=True, in_doubt=refunds == "in_doubt"
            ),
            TxnKind.VOID: KindRules(True, given_back, void),
            TxnKind.REFUND_VOID: KindRules(True, taken_again, refund_void),
            TxnKind.PREAUTH: KindRules(True, Side.NEITHER),
            TxnKind.OFFLINE_SALE: _advice(Side.DEBIT),
            TxnKind.COMPLETION_NOTICE: _advice(Side.DEBIT, completes),
            TxnKind.VOID_NOTICE: _advice(given_back, void),
            TxnKind.ADJUST: _advice(Side.DEBIT, replaces),
            TxnKind.TIP: _advice(Side.DEBIT, tips),
            TxnKind.CERTIFICATE: _advice(Side.NEITHER, of_chip),
        }
    )


def _advice(side: Side, original: OriginalRules | None = None) -> KindRules:
    return KindRules(False, side, original, never_deferred=True, advice=True)


CLOSE_RULES = CloseRules(
    agreed_closes=True,
    end_agrees=True,
    end_out_of_balance=frozenset({"77", TRANSFER}),
    batch_gone=frozenset({"80", "85"}),
    waits_for_reversals=True,
)
"""Reference 2.5."""

REVERSAL_REASONS: Mapping[Why, str] = MappingProxyType(dict.fromkeys(Why, ""))
"""Field 39 is not sent (reference 2.6)."""

REFUSALS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.NOT_SENT: "91",
        Refusal.OUTCOME_UNKNOWN: "91",
        Refusal.NO_ORIGINAL: "78",
        Refusal.ALREADY_VOIDED: "12",
        Refusal.ALREADY_USED: "12",
        Refusal.CARD_DIFFERS: "14",
        Refusal.AMOUNT_DIFFERS: "64",
        Refusal.AMOUNT_INVALID: "13",
        Refusal.KEY_REUSED: "94",
        Refusal.NUMBER_TAKEN: "94",
        Refusal.REVERSED_IN_ADVANCE: "12",
        Refusal.SIGN_IN_FIRST: "96",
        Refusal.BLOCKED: "96",
        Refusal.BATCH_FULL: "96",
        Refusal.BUSY: "96",
        Refusal.FENCED: "96",
        Refusal.RESTORED: "96",
        Refusal.MALFORMED: "30",
        Refusal.NOT_SUPPORTED: "12",
        Refusal.GO_ONLINE: "40",
        Refusal.NOT_REVERSIBLE: "12",
        Refusal.NOT_CONFIRMABLE: "12",
        Refusal.NOT_AUTHENTICATED: "58",
        Refusal.BAD_MAC: "88",
        Refusal.UNKNOWN_TERMINAL: "89",
    }
)
"""Our own refusals in the dialect's words (reference 2.7, else 1.13)."""

MAC_COVERED = frozenset(
    {"0100", "0110", "0200", "0210", "0220", "0230", "0400", "0401", "0410", "0420", "0421", "0430"}
)
"""Where a MAC stands, if an acquirer wants one at all (reference 2.2, field 64)."""
