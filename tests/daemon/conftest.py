"""A stage for each test that wants one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.stage import Stage


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """A stage in the test's own folder; keyword arguments as of Stage."""

    def make(**how: Any) -> Stage:
        return Stage(tmp_path, monkeypatch, **how)

    return make
