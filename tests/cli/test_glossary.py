"""One Chinese word for one thing: in what posd says, in the README, in the help."""

import re
from pathlib import Path

import pytest

from posd.cli.lang import GLOSSARY

ROOT = Path(__file__).parents[2]
SAYING = [
    ROOT / "README.zh-CN.md",
    *sorted((ROOT / "posd" / "cli").rglob("*.py")),
    *sorted((ROOT / "posd" / "daemon").rglob("*.py")),
]
JOURNAL_COMMANDS = re.compile(r"日志[^|\n]*\| `posd journal")


def said(path: Path) -> str:
    text = path.read_text("utf-8")
    return text.split("GLOSSARY: ", 1)[0] if path.name == "lang.py" else text


@pytest.mark.parametrize("term", GLOSSARY)
def test_no_other_word_is_used(term: str) -> None:
    word, others = GLOSSARY[term]
    found = [(path.name, other) for path in SAYING for other in others if other in said(path)]
    assert found == [], f"{term} is {word}"


def test_each_word_is_in_use() -> None:
    everything = "".join(map(said, SAYING))
    assert [term for term, (word, _) in GLOSSARY.items() if word not in everything and term != "log"] == []


def test_the_journal_is_never_called_the_log() -> None:
    assert [path.name for path in SAYING if JOURNAL_COMMANDS.search(said(path))] == []


def test_both_readmes_have_the_same_tables_and_commands() -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    for pattern in (r"(?m)^\|", r"(?m)^#+ ", r"(?m)^```", r"(?m)^curl ", r"(?m)^\d\. \*\*"):
        assert len(re.findall(pattern, english)) == len(re.findall(pattern, chinese)), pattern
    commands = [set(re.findall(r"`(posd [a-z-]+(?: [a-z]+)?)", text)) for text in (english, chinese)]
    assert commands[0] ^ commands[1] == set()
