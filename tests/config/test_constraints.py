"""The pinned versions: whole, within the ranges of pyproject.toml, and without an address of anybody's registry."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LINES = (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines()
PINNED = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in LINES)}


def test_each_line_is_a_name_and_a_version() -> None:
    assert [line for line in LINES if re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.+!-]*", line) is None] == []


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    assert [str(one) for one in wanted if not one.specifier.contains(PINNED.get(one.name.lower(), "0"))] == []
