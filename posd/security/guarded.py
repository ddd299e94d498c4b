"""The base of everything that holds a secret: it shows only its name and is never pickled or copied."""

from typing import NoReturn


class Guarded:
    """Shown as `<ClassName ***>` by repr, str and format; pickle, copy and deepcopy are refused.

    A dataclass that derives from it must be declared with `repr=False`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ***>"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets and is never pickled or copied")
