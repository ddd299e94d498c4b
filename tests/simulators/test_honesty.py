"""The simulators are a second reading of the reference (D37): what they take from posd, by the text of each file."""

import ast
from pathlib import Path

import pytest

SIMULATORS = Path(__file__).parents[2] / "simulators"
ALLOWED = ("posd.iso8583", "posd.framing", "posd.values", "posd.errors", "posd.yamlmarks")
"""Bytes and words: what fields, MACs, totals and codes mean is read anew."""
EXEMPT = ("world", "bench")
"""Both stage posd itself: the one on virtual time, the other as a daemon with its journal."""


def imports(path: Path) -> list[str]:
    """Every module that a file imports, also inside functions; `from a import b` gives a.b, for b may be a module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def taken(path: Path) -> list[str]:
    """What a file takes from posd beyond what is allowed."""
    ours = [name for name in imports(path) if name.partition(".")[0] == "posd"]
    return [name for name in ours if not any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED)]


HONEST = [path for path in sorted(SIMULATORS.rglob("*.py")) if path.relative_to(SIMULATORS).parts[0] not in EXEMPT]


@pytest.mark.parametrize("path", HONEST, ids=lambda path: str(path.relative_to(SIMULATORS)))
def test_d37_no_simulator_borrows_what_posd_understands(path: Path) -> None:
    assert taken(path) == []
    assert not [name for name in imports(path) if name.startswith(("simulators.world", "simulators.bench"))]


def test_what_is_borrowed_would_be_seen() -> None:
    assert taken(SIMULATORS / "world" / "machine.py") != []
    assert len(HONEST) > 10
