"""The base of everything that holds a secret: it shows only its name and is never pickled, copied or unfolded."""

from typing import NoReturn, TypeVar

T = TypeVar("T", bound="Guarded")

UNFOLDING = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
"""By these asdict, replace, msgspec, rich and pydantic know a data class, and would write out what it holds."""


class Guarded:
    """Shown as `<ClassName ***>` by repr, str and format; pickle, copy and deepcopy are refused.

    A data class that derives from it must be declared with `repr=False`, below `@closed`.
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

    def __getstate__(self) -> NoReturn:
        self.__reduce__()


def closed(cls: type[T]) -> type[T]:
    """A data class to whoever writes it, and an unknown object to whatever would take it apart or encode it."""
    for name in UNFOLDING:
        if name in cls.__dict__:
            delattr(cls, name)
    for name in ("__getstate__", "__setstate__"):  # a frozen data class with slots brings its own
        if name in cls.__dict__:
            delattr(cls, name)
    return cls
