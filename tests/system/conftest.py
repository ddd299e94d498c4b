"""A house for each test, with nobody left in it afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.box import why_not
from tests.system.house import House
from tests.system.shop import Shop


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Callable[..., House]]:
    houses: list[House] = []

    def build(tids: tuple[str, ...] = ("10000001",), **how: Any) -> House:
        folder, outside = tmp_path / "posd", tmp_path / "outside"
        folder.mkdir()
        outside.mkdir()
        houses.append(House(folder, outside, tids, **how))
        houses[-1].open()
        return houses[-1]

    yield build
    for house in houses:
        house.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One box for all tests that need a systemd of their own; each leaves posd running in it."""
    if because := why_not():
        pytest.skip(because)
    shop = Shop(tmp_path_factory.mktemp("box"), tmp_path_factory.mktemp("acquirer"))
    try:
        shop.open()
        yield shop
    finally:
        shop.close()
