"""What people ask for; each has the `command_id` under which it acts once (D36)."""

from msgspec import Struct

from posd.values import BatchNumber, RequestId, Stan, Who


class SettleNow(Struct, frozen=True):
    """A person asks for a settlement."""

    command_id: str
    by: str
    who: Who | None = None


class RetryReversals(Struct, frozen=True):
    """A person asks for the next attempt now; None: of every reversal that is owed or stuck."""

    command_id: str
    by: str
    request_id: RequestId | None
    who: Who | None = None


class ResolveReversal(Struct, frozen=True):
    """A named person ends a reversal, with a reason."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    who: Who | None = None


class RetryAdvices(Struct, frozen=True):
    """A person asks for the next attempt now; None: of every advice that is owed or stuck."""

    command_id: str
    by: str
    request_id: RequestId | None
    who: Who | None = None


class ResolveAdvice(Struct, frozen=True):
    """A named person ends an advice, with a reason."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    who: Who | None = None


class ResolveRefund(Struct, frozen=True):
    """A named person says whether a refund in doubt happened (D13)."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    happened: bool
    who: Who | None = None


class ApproveSettlement(Struct, frozen=True):
    """A named person lets a held settlement begin; `batch` is the host's number that they mean, or None (D23)."""

    command_id: str
    by: str
    reason: str
    batch: int | None
    who: Who | None = None
    up_to_minor: int | None = None
    """The first of two people lets it grow to this before the second comes; None: not at all."""


class DecideSettlement(Struct, frozen=True):
    """A named person says whether the host closed an unconfirmed batch (D20)."""

    command_id: str
    by: str
    reason: str
    closed: bool
    who: Who | None = None


class WithdrawProposal(Struct, frozen=True):
    """A named person takes back what waits for a second one; `about`: its request, or None for the settlement."""

    command_id: str
    by: str
    reason: str
    about: RequestId | None
    who: Who | None = None


class AdmitAfterRestore(Struct, frozen=True):
    """A named person says that no terminal and no till asks again for what it asked before the restore.

    `terminal_stan`: the last trace number that the terminal used before; None: everything is new. `number`: the batch
    that the host has open, where it does not say so itself.
    """

    command_id: str
    by: str
    reason: str
    terminal_stan: Stan | None
    number: BatchNumber | None
    who: Who | None = None


class ResolveGap(Struct, frozen=True):
    """A named person ends what is not known since a backup was restored: it has been reconciled."""

    command_id: str
    by: str
    reason: str
    who: Who | None = None


class SetBatchNumber(Struct, frozen=True):
    """A named person gives the open batch another number (D7)."""

    command_id: str
    by: str
    reason: str
    number: BatchNumber
    who: Who | None = None


class DownloadNow(Struct, frozen=True):
    """A person wants the host's parameters asked for now."""

    command_id: str
    by: str
    who: Who | None = None
