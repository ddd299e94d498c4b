"""One transaction, as far as it is known."""

from msgspec import Struct

from posd.core.answers import AnswerFacts
from posd.core.rules import TxnKind, Why
from posd.core.state.statuses import ChipResult, Evidence, TxnStatus
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan


class ChipEnd(Struct, frozen=True):
    """What the terminal told of the end: the dialect's code for it, and the chip's last words (hexadecimal)."""

    result: ChipResult
    code: str
    icc: str


class FoundOut(Struct, frozen=True):
    """What ended a doubt: it happened or not, how that is known, and who said so where a person did."""

    happened: bool
    how: Evidence
    at_ms: int
    by: str = ""
    reason: str = ""


class Transaction(Struct, frozen=True):
    """One financial request that left, or was about to leave, for the host.

    `batch_number` and `stan` are those it was sent with; the `terminal_` ones are the terminal's own. `secret` facts
    (card number, expiry) are with the vault under `request_id`, not here. `approved_minor` is set where the host
    approved a part (D15). `unmaced`: its decline had no MAC (D10). `repeated`: a refund that left twice (D13).
    `reference` and `tip_minor` are a till's; `confirm`: its approval has to be confirmed, or it is reversed (D16).
    `replaced_by`: an adjustment or tip whose amount counts in place of this one, or a void because of which neither
    counts. `invoice`: the terminal's number of it (reference 2.4), 0 where the dialect has none.
    `over`: its terminal has closed its own batch since, with this in it (D25).
    `of_foreign`: an advice about what is in the foreign group. `chip`: a chip took part, and what it did is uploaded;
    `chip_end`: what its terminal told of it.
    """

    request_id: RequestId
    kind: TxnKind
    status: TxnStatus
    amount_minor: Minor
    stan: Stan
    batch: int
    batch_number: BatchNumber
    terminal_batch: int
    terminal_stan: Stan
    at_ms: int
    fingerprint: str
    entry_mode: str
    options: str = ""
    card: CardRef | None = None
    original: RequestId | None = None
    facts: AnswerFacts | None = None
    why: Why | None = None
    approval_seen: bool = False
    handed_over: bool = False
    partial_asked: bool = False
    approved_minor: Minor | None = None
    unmaced: bool = False
    repeated: bool = False
    found_out: "FoundOut | None" = None
    replaced_by: RequestId | None = None
    invoice: int = 0
    over: bool = False
    of_foreign: bool = False
    reference: str = ""
    tip_minor: Minor = Minor(0)
    confirm: bool = False
    chip: bool = False
    chip_end: ChipEnd | None = None

    @property
    def counted_minor(self) -> Minor:
        """What the totals and the upload say of it: the approved amount, else the requested one (D15)."""
        return self.amount_minor if self.approved_minor is None else self.approved_minor

    @property
    def foreign(self) -> bool:
        """In the foreign group of the totals: the answer named a scheme, and not CUP (reference 1.5, 1.6).

        Of an advice whose answer named none, or that has none yet: as what it is about.
        """
        scheme = (self.facts.scheme or "").strip() if self.facts else ""
        return scheme != "CUP" if scheme else self.of_foreign
