"""Records of the session: sign-in, keys, sign-off, downloads, echoes."""

from msgspec import Struct

from posd.values import BatchNumber, Stan, Tid, Who


class LaneOpened(Struct, frozen=True):
    """The first record of a terminal."""

    tid: Tid
    stan: Stan
    batch_number: BatchNumber


class SignInStarted(Struct, frozen=True):
    """A sign-in is about to leave. `for_settlement`: its answer judges the clock (D24)."""

    stan: Stan
    for_settlement: bool


class SignedIn(Struct, frozen=True):
    """The host signed us in. `batch_number` is adopted outside settlement only (D7)."""

    stan: Stan
    wrapped_keys: str
    batch_number: BatchNumber | None
    clock_offset_ms: int | None


class SignInFailed(Struct, frozen=True):
    """A sign-in brought no usable keys: the terminal stays signed out."""

    stan: Stan
    because: str


class SignedOut(Struct, frozen=True):
    """The next thing that this terminal says to the host is a sign-in."""

    because: str


class SignInWanted(Struct, frozen=True):
    """The host asked for a new sign-in beside an answer: after the current transaction, never amid a settlement."""

    because: str


class TerminalKeysGiven(Struct, frozen=True):
    """The terminal's own 0800 was answered with the held keys of this generation (D26)."""

    generation: int


class SignOffStarted(Struct, frozen=True):
    """A sign-off is about to leave: the batch was closed and the acquirer wants it (reference 1.7, step 9)."""

    stan: Stan


class SignOffEnded(Struct, frozen=True):
    """The sign-off was answered, or not: a sign-in follows either way."""

    answered: bool


class DownloadWanted(Struct, frozen=True):
    """The host asks for a management message beside an answer (reference 1.1, header digit 6), or a person does."""

    function: str
    by: str
    who: Who | None


class ManagementStarted(Struct, frozen=True):
    """A management message is about to leave: one that the host wants, or the terminal's own."""

    stan: Stan
    function: str
    for_terminal: bool


class ManagementEnded(Struct, frozen=True):
    """It was answered with this code, or was not (empty)."""

    code: str
    because: str


class DownloadFailed(Struct, frozen=True):
    """What we asked with this function was not answered so that it can be used: it is asked again, later."""

    function: str
    because: str


class ParametersTold(Struct, frozen=True):
    """The parameters that the host told, by name (reference 1.14)."""

    parameters: dict[str, str]


class EchoStarted(Struct, frozen=True):
    """An echo is about to leave; it has no STAN (reference 1.6)."""


class EchoEnded(Struct, frozen=True):
    """The echo was answered, or not."""

    answered: bool
