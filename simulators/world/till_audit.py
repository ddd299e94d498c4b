"""The audit of the tills: what each was told, against the journal, and the journal against its orders (D6, D16)."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from posd.core.rules import TxnKind
from simulators.world.stage import Stage
from simulators.world.tills import Belief, Placed, Till

MARK = "/-till/"
"""Between TID and key in the request ids of tills."""


class Known(Protocol):
    """What this audit reads of a request in the journal (audit.Known)."""

    amount: int
    status: str
    doubted: bool
    advice: bool
    confirm: bool
    handed_over: bool
    reference: str


def audit_tills(
    stage: Stage, requests: Mapping[str, Known], tills: Iterable[Till], forgotten: Collection[str] = ()
) -> None:
    """Every order of every till, but those that a restored journal does not know."""
    placed: dict[str, Placed] = {str(of): one for till in tills for of, one in till.placed.items()}
    served = Counter(known.reference for known in requests.values() if known.reference)
    for of, known in requests.items():
        if MARK in of and of not in forgotten:
            _served(stage, of, known, placed.get(of), served[known.reference])
    for of, one in placed.items():
        if of in forgotten:
            continue
        _told(stage, of, one, requests.get(of))


def _served(stage: Stage, of: str, known: Known, one: Placed | None, times: int) -> None:
    """An order that was sent to the host: it was placed so, it was sent once, and an approval that stands is known."""
    stage.count("till: orders served")
    if one is None or times > 1:
        stage.violate(f"{of} was sent {times} times, and its till wanted it once (D6)")
    elif known.amount not in one.amounts:
        stage.violate(f"{of} was sent with {known.amount}, and its till ordered {one.amounts} (D6)")
    if known.status == "approved" and known.confirm and not known.handed_over:
        stage.violate(f"{of} stands, and its till never confirmed it (D16)")


def _told(stage: Stage, of: str, one: Placed, known: Known | None) -> None:
    """What the till believes against what the journal says."""
    status = known.status if known is not None else "never sent"
    match one.belief:
        case Belief.APPROVED:
            fits = status == "approved" or (known is not None and known.advice)
        case Belief.DECLINED | Belief.FAILED if one.kind is TxnKind.REFUND and known is not None and known.doubted:
            fits = status != "sent"
        case Belief.DECLINED | Belief.FAILED | Belief.TOO_LATE:
            fits = status not in ("approved", "sent") and not (known is not None and known.advice)
        case Belief.ASKING:
            fits = False
        case Belief.UNCONFIRMED | Belief.UNKNOWN:
            fits = status != "sent"
    if not fits:
        stage.violate(f"the till believes that {of} is {one.belief}, and it is {status}")
