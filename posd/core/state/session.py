"""The session with the host, the exchange in flight, and a download that failed."""

from msgspec import Struct

from posd.core.answers import ExchangeKind
from posd.values import BatchNumber, RequestId, Stan

TERMINAL_KEYS_MAX = 2
"""The newest block, and the one before it: the answer that brought the newest may have been lost."""


class Session(Struct, frozen=True):
    """Signed in or not, and the keys as the host sent them, under the TMK (D26).

    `terminal_keys` are the last blocks that were given to the terminal, newest first: it signs its messages with what
    it has, whatever has been agreed with the host since. `renewal_wanted`: the host asked for a new sign-in beside an
    answer; the present keys hold until then.
    """

    signed_in: bool = False
    wrapped_keys: str | None = None
    generation: int = 0
    signed_in_at_ms: int | None = None
    clock_offset_ms: int | None = None
    terminal_generation: int = 0
    host_batch: BatchNumber | None = None
    terminal_keys: tuple[str, ...] = ()
    out_because: str = "never signed in"
    renewal_wanted: bool = False


class Exchange(Struct, frozen=True):
    """The one host exchange in flight. `request_id` is the transaction's, for transactions and reversals."""

    kind: ExchangeKind
    stan: Stan | None
    started_at_ms: int
    request_id: RequestId | None = None
    for_settlement: bool = False


class DownloadFailure(Struct, frozen=True):
    """What the host wants asked, or a person, and could not be had yet; `times` in a row."""

    function: str
    because: str
    at_ms: int
    times: int
