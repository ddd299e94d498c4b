"""How a bug is put in for the length of a `with`, and taken out again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from simulators.world.faults import Faults
from simulators.world.machine import Machine
from simulators.world.plan import Plan


@contextmanager
def patched(where: object, name: str, what: object) -> Iterator[None]:
    """Another function, or value, under this name."""
    before = getattr(where, name)
    setattr(where, name, what)
    try:
        yield
    finally:
        setattr(where, name, before)


@contextmanager
def entry(table: dict[Any, Any], key: object, what: object) -> Iterator[None]:
    """Another entry in a table."""
    before = dict(table)
    table[key] = what
    try:
        yield
    finally:
        table.clear()
        table.update(before)


@contextmanager
def nothing() -> Iterator[None]:
    """The bug is in the machine alone."""
    yield


def plain(plan: Plan) -> Plan:
    """The plan that was drawn, without tills and losses and with the world's own line: what is not needed may not hide
    a bug."""
    return replace(plan, orders=0, roads=None, lost=None)


@dataclass(frozen=True, slots=True)
class Bug:
    """`faults`: the troubles under which it shows. `adjust`: what the plan has to have for it."""

    plant: Callable[[], AbstractContextManager[None]] = nothing
    machine: type[Machine] = Machine
    faults: Faults = field(default_factory=Faults)
    adjust: Callable[[Plan], Plan] = plain
