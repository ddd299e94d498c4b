"""What ships is what is tested (D39): the wheel carries the example configuration and the units, and CI tries it."""

import tomllib
from pathlib import Path

import pytest

from posd.config import load, shipped
from posd.errors import ConfigError

ROOT = Path(__file__).parents[2]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
FOLDERS = ("config", "systemd")


def test_d39_the_wheel_carries_what_shipped_looks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation is laid out as pyproject says; from there, and with no checkout around, each file is found."""
    carried = {source: target for source, target in WHEEL["force-include"].items() if source in FOLDERS}
    assert set(carried) == set(FOLDERS)
    files = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} == set(FOLDERS)
    for path in files:
        installed = tmp_path / carried[path.parts[0]] / path.relative_to(path.parts[0])
        installed.parent.mkdir(parents=True, exist_ok=True)
        installed.write_bytes((ROOT / path).read_bytes())
    monkeypatch.setattr("posd.config.file.__file__", str(tmp_path / "posd" / "config" / "file.py"))
    for path in files:
        assert shipped(str(path)).is_relative_to(tmp_path)
    assert load(shipped("config/posd.example.yaml")).terminals
    with pytest.raises(ConfigError, match="does not ship"):
        shipped("config/none.yaml")


def test_d39_ci_runs_the_demo_from_the_built_wheel() -> None:
    """In an environment of its own, outside the checkout, so that nothing but the wheel can be imported."""
    steps = (ROOT / ".ci" / "run").read_text()
    order = ["pip wheel", 'venv "$work/venv"', "posd-*.whl", 'cd "$work"', '"$work/venv/bin/posd" demo']
    places = [steps.index(step) for step in order]
    assert places == sorted(places)
    assert steps.index('"$work/venv/bin/posd" selftest') > steps.index('cd "$work"')
    assert set(WHEEL["packages"]) == {"posd", "simulators"}
