"""Records of the end of card numbers (D29)."""

from msgspec import Struct


class NumbersExpired(Struct, frozen=True):
    """The card numbers of these batches have been kept long enough: their data keys are about to be destroyed.

    `batches`: identities (D7). `closed_until_ms`: when the newest of them was closed. `kept_days`: the setting of then.
    """

    batches: tuple[int, ...]
    closed_until_ms: int
    kept_days: int


class NumbersDestroyed(Struct, frozen=True):
    """Their data keys are gone wherever they were kept: nobody can read these card numbers any more.

    `files`: so many files had these keys, copies included.
    """

    batches: tuple[int, ...]
    key_ids: tuple[str, ...]
    files: int
