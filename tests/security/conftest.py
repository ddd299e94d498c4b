"""What the security tests share: keys of protocol/samples.txt (generated test data, no real keys)."""

from pathlib import Path

import pytest

from posd.security.machine import MachineKey


@pytest.fixture
def machine_key() -> MachineKey:
    return MachineKey(bytes(range(32)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"
