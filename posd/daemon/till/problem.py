"""What a till is told, as HTTP: answers as JSON, refusals as application/problem+json (RFC 9457) that teach.

Every refusal has a name for programs (`type`), and one line for people: what, where, what to do. No card number can
stand in either: what a client said is masked before it is repeated.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from posd.core.effects import Refusal
from posd.core.state import TxnStatus
from posd.daemon.logmask import mask_text, one_line
from posd.daemon.till.schema import Problem, Transaction

PROBLEM_PREFIX = "urn:posd:problem:"
JSON, PROBLEM_JSON, EVENT_STREAM = "application/json", "application/problem+json", "text/event-stream"
DETAIL_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True, repr=False)
class HttpResponse:
    """`stream`: its parts are sent as they come, then the connection ends; an empty one only looks for the client."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None
    hangs_up: bool = False


def as_json(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    """A value of till_schema, or plain data."""
    return HttpResponse(status, msgspec.json.encode(value), JSON, headers)


def problem(
    status: int,
    name: str,
    detail: str,
    *,
    where: str = "",
    sent: bool | None = None,
    transaction: Transaction | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> HttpResponse:
    """A refusal; `name` is what a program goes by, `detail` what a person reads."""
    said = Problem(
        type=PROBLEM_PREFIX + name,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=one_line(mask_text(detail[:DETAIL_CHARACTERS_MAX])),
        where=one_line(mask_text(where)),
        sent=sent,
        transaction=transaction,
    )
    return HttpResponse(status, msgspec.json.encode(said), PROBLEM_JSON, headers)


AGAIN = "; to try again, use a new Idempotency-Key"

STATUS: Mapping[Refusal, tuple[int, str]] = {
    Refusal.NOT_SENT: (503, f"nothing was sent, no money moved{AGAIN}"),
    Refusal.OUTCOME_UNKNOWN: (504, "take it for failed: whatever it did is undone; see 'transaction'"),
    Refusal.NO_ORIGINAL: (404, f"name a sale that this door lists as approved{AGAIN}"),
    Refusal.ALREADY_VOIDED: (409, f"see the sale and what was done to it{AGAIN}"),
    Refusal.ALREADY_USED: (409, f"see the transaction and what was done with it{AGAIN}"),
    Refusal.CARD_DIFFERS: (409, f"only the card of the sale gets its money back{AGAIN}"),
    Refusal.AMOUNT_DIFFERS: (409, f"look at the sale's amount{AGAIN}"),
    Refusal.AMOUNT_INVALID: (409, f"an amount is more than zero{AGAIN}"),
    Refusal.KEY_REUSED: (409, "use a new Idempotency-Key for each order, and the same one only to ask again"),
    Refusal.NUMBER_TAKEN: (409, f"its number belongs to another transaction{AGAIN}"),
    Refusal.REVERSED_IN_ADVANCE: (409, "it was taken back before it came; use a new Idempotency-Key"),
    Refusal.SIGN_IN_FIRST: (503, f"posd signs in by itself; wait a little{AGAIN}"),
    Refusal.BLOCKED: (503, f"see posd status{AGAIN}"),
    Refusal.BATCH_FULL: (503, f"settle first: POST …/settlements{AGAIN}"),
    Refusal.BUSY: (503, f"wait a little{AGAIN}"),
    Refusal.FENCED: (503, "posd stopped serving this terminal: restart it, and report what its log says"),
    Refusal.RESTORED: (503, f"a person first has to say what the tills have: posd restore-gap list{AGAIN}"),
    Refusal.MALFORMED: (409, f"it cannot be said to the host as it stands; see posd's log{AGAIN}"),
    Refusal.NOT_SUPPORTED: (409, f"see posd check-config{AGAIN}"),
    Refusal.GO_ONLINE: (409, f"order it as a request of its own{AGAIN}"),
    Refusal.NOT_REVERSIBLE: (409, "look at the transaction: GET it by its id"),
    Refusal.NOT_CONFIRMABLE: (
        409,
        "look at the transaction, GET it by its id: there is nothing to confirm",
    ),
    Refusal.NOT_AUTHENTICATED: (403, "see the till section of posd's configuration"),
    Refusal.BAD_MAC: (403, "this is not for a till"),
    Refusal.UNKNOWN_TERMINAL: (404, "use a TID of the configuration"),
}
"""HTTP status and what to do, for each refusal of the core."""


IN_DOUBT = (
    "nobody knows whether the customer has the money, and it is not undone: do not order it again, ask the acquirer; "
    "GET it by its id tells when it was found out"
)
"""Of a refund without an outcome (D13)."""

SAYS_NOTHING_OF_SENDING = frozenset(
    {Refusal.FENCED, Refusal.KEY_REUSED, Refusal.NOT_CONFIRMABLE, Refusal.NOT_REVERSIBLE}
)


def refused(refusal: str, because: str, transaction: Transaction | None) -> HttpResponse:
    """A refusal of the core."""
    status, hint = STATUS[Refusal(refusal)]
    retry = (("retry-after", "1"),) if Refusal(refusal) is Refusal.BUSY else ()
    sent = None if Refusal(refusal) in SAYS_NOTHING_OF_SENDING else Refusal(refusal) is Refusal.OUTCOME_UNKNOWN
    if sent and transaction is not None and transaction.status == TxnStatus.IN_DOUBT:
        refusal, hint = "in_doubt", IN_DOUBT  # D13
    return problem(status, refusal, f"{because}: {hint}", sent=sent, transaction=transaction, headers=retry)
