"""What posd's own parts report: the encoder, the doors, the vault."""

from msgspec import Struct

from posd.values import RequestId


class HandedOver(Struct, frozen=True):
    """The answer to this request was given to the terminal's connection."""

    request_id: RequestId


class NumbersDue(Struct, frozen=True):
    """Card numbers of batches that were closed before this have been kept for `kept_days`; the daemon vouches for the
    time."""

    closed_before_ms: int
    kept_days: int


class KeysDestroyed(Struct, frozen=True):
    """The data keys of these batches, by identity, are gone from every folder: `files` files, copies included."""

    batches: tuple[int, ...]
    key_ids: tuple[str, ...]
    files: int
