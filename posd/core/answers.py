"""What an answer means for money, whatever its dialect calls it (D9, D10).

A profile reads bytes into a `HostAnswer`; the lifecycles read only this. Nothing here knows a field number.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from posd.values import BatchNumber, Quiet, Rrn, Stan


class AnswerClass(StrEnum):
    """The class of a response code. A dialect's code table maps every code to one of these.

    UNCONFIRMED is also the class of every code that the table does not know, and of an approval without a good
    MAC: the terminal is told "failed" and a reversal is owed; a needless reversal is harmless.
    """

    APPROVE = "approve"
    APPROVE_PARTIAL = "approve_partial"
    DECLINE = "decline"
    ACT_AND_RETRY = "act_and_retry"
    UNCONFIRMED = "unconfirmed"


class ExchangeKind(StrEnum):
    """What one exchange with the host is about: the MTI class and, for 0320 and 08xx, the function (D8)."""

    SIGN_IN = "sign_in"
    SIGN_OFF = "sign_off"
    ECHO = "echo"
    TRANSACTION = "transaction"
    REVERSAL = "reversal"
    TOTALS = "totals"
    UPLOAD = "upload"
    TRAILER = "trailer"
    MANAGEMENT = "management"


class MacCheck(StrEnum):
    """GOOD and BAD when the answer carried a MAC; ABSENT when it did not; EXEMPT where none is defined."""

    GOOD = "good"
    BAD = "bad"
    ABSENT = "absent"
    EXEMPT = "exempt"


class AnswerFacts(Struct, frozen=True):
    """What the terminal is told again, now or when it asks again: plain values, none of them card data.

    `icc`: what the issuer says to the chip, hexadecimal, less its scripts, which may carry a new PIN; `scripts`: how
    many came with it. `scheme` and `remarks`
    are what the host says to be printed, as it came (a dialect's own characters).
    """

    code: str
    rrn: Rrn | None = None
    approval_code: str | None = None
    host_date: str | None = None
    host_time: str | None = None
    settlement_date: str | None = None
    acquirer: str | None = None
    parties: str | None = None
    balances: str | None = None
    scheme: str | None = None
    icc: str | None = None
    scripts: int = 0
    remarks: str | None = None


class GroupCount(Struct, frozen=True):
    """Debits and credits of one group (domestic or foreign); amounts in minor units."""

    debit_minor: int = 0
    debit_count: int = 0
    credit_minor: int = 0
    credit_count: int = 0


class Totals(Struct, frozen=True):
    """The two groups of a batch (reference 1.6)."""

    domestic: GroupCount = GroupCount()
    foreign: GroupCount = GroupCount()


class GroupResult(StrEnum):
    """The host's word on one group."""

    BALANCED = "balanced"
    UNBALANCED = "unbalanced"
    UNCLEAR = "unclear"


class HostTotals(Struct, frozen=True):
    """The answer to a settlement request: the host's totals, if it tells them, and its word on each group."""

    totals: Totals | None
    domestic: GroupResult
    foreign: GroupResult


class HostAnswer(Quiet, frozen=True):
    """One answer of the host, read and checked by the profile.

    `mismatch` names what differs from the request (empty: nothing). `wrapped_keys` are the keys of a sign-in as
    received, under the TMK (hex), present only if their check values hold; else `key_trouble` says why not.
    `host_clock` is MMDDhhmmss in the host's zone. `attention` is what the host asks of the terminal beside the
    answer (UnionPay header digit 6; "0": nothing), and `wants` says it in words (empty: nothing). `icc` is
    what the issuer says to the chip as it came: it goes to the terminal with this answer, and is kept nowhere.
    `wants_function`: the dialect's name for the management message with which that is done. `block` and `parameters`
    are what the answer to such a message brings (management.py), the first as it came, the second read;
    `block_trouble`: why it cannot be read.
    """

    kind: ExchangeKind
    stan: Stan | None
    answer_class: AnswerClass
    facts: AnswerFacts
    mac: MacCheck = MacCheck.EXEMPT
    mismatch: str = ""
    amount_minor: int | None = None
    batch_number: BatchNumber | None = None
    host_clock: str | None = None
    wrapped_keys: str | None = None
    key_trouble: str = ""
    host_totals: HostTotals | None = None
    attention: str = "0"
    wants: str = ""
    wants_sign_in: bool = False
    icc: str = ""
    wants_function: str = ""
    block: str = ""
    parameters: Mapping[str, str] | None = None
    block_trouble: str = ""
