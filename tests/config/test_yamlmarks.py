"""YAML with places: every error names line and column, every scalar stays text, no value is ever echoed."""

import contextlib
import random
import traceback
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from posd.errors import ConfigError
from posd.yamlmarks import YAML_BYTES_MAX, ConfigProblems, Document, load_model, read_document

CANARY = "0123456789ABCDEFFEDCBA9876543210"


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    attempts: int = Field(default=4, ge=1, le=9)
    retries_s: float = 1.0
    mode: Literal["accept", "refuse"] = "accept"


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    on: bool = False
    inner: Inner = Inner()
    items: tuple[Inner, ...] = ()
    note: str | None = None


def _load(tmp_path: Path, text: str | bytes) -> Outer:
    path = tmp_path / "t.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_model(path, Outer)


def _lines(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        _load(tmp_path, text)
    assert isinstance(caught.value, ConfigError)
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


@pytest.mark.parametrize("scalar", ["23:00", "00012345", "NO", "1e3", "0x1F", "~", "null", "2026-01-01", "1_000"])
def test_scalars_stay_text(tmp_path: Path, scalar: str) -> None:
    assert _load(tmp_path, f"name: {scalar}\n").name == scalar


def test_values_of_every_kind(tmp_path: Path) -> None:
    text = "\ufeffname: '中文'\non: true\ninner: {attempts: 7, mode: refuse}\nitems:\n  - retries_s: 0.5\n  - {}\n"
    loaded = _load(tmp_path, text)
    assert loaded.name == "中文"
    assert loaded.on
    assert loaded.inner == Inner(attempts=7, mode="refuse")
    assert loaded.items == (Inner(retries_s=0.5), Inner())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "t.yaml:1:1: the file is empty; start from the example"),
        ("# nothing\n---\n", "t.yaml:3:1: must hold settings (name: value)"),
        ("- a\n", "t.yaml:1:1: must hold settings (name: value)"),
        ("name: a\n---\nname: b\n", "t.yaml:2:1: a second document; keep one, without '---' between"),
        ("name: &x a\n", "t.yaml:1:7: anchors and aliases are not read; write the value out"),
        ("name: a\nnote: *x\n", "t.yaml:2:7: anchors and aliases are not read; write the value out"),
        ("name: !!int 5\n", "t.yaml:1:7: tags are not read; write the value without '!'"),
        ("name: !!python/object:os.system x\n", "t.yaml:1:7: tags are not read; write the value without '!'"),
        ("? [a]\n: b\n", "t.yaml:1:3: a setting's name must be plain text; write name: value"),
        ("name: a\n  b: c\n", "t.yaml:2:4: not YAML: mapping values are not allowed in this context"),
        ("name: 'a\n", "t.yaml:2:1: not YAML: found unexpected end of stream"),
        ("name: a\n\tb: c\n", "t.yaml:2:"),
        ("name: a\x07\n", "t.yaml:1:8: the character U+0007 is not allowed; remove it"),
        (b"name: a\nnote: \xff\n", "t.yaml:2:7: not UTF-8; save the file as UTF-8"),
        (
            "name: a\nnote: b\nname: c\n",
            "t.yaml:3:1: name: the setting is given twice; the first is on line 1; keep one",
        ),
        ("name: a\ninner:\n  attempt: 3\n", "t.yaml:3:3: inner.attempt: unknown setting; did you mean 'attempts'?"),
        ("name: a\nitems:\n  - retriez_s: 3\n", "t.yaml:3:5: items[0].retriez_s: unknown setting; did you mean"),
        ("inner: {}\n", "t.yaml:1:1: name: the setting is missing; see the example"),
        ("name: [a]\n", "t.yaml:1:1: name: must be one value, not a list or a mapping"),
        ("name: a\ninner:\n", "t.yaml:2:1: inner: must hold settings (name: value)"),
        ("name: a\nitems: x\n", "t.yaml:2:1: items: must be a list; write one item a line, each after '- '"),
        ("name: a\ninner: {attempts: x}\n", "t.yaml:2:9: inner.attempts: must be a whole number"),
        ("name: a\ninner: {attempts: 1.5}\n", "t.yaml:2:9: inner.attempts: must be a whole number"),
        ("name: a\ninner: {attempts: 0}\n", "t.yaml:2:9: inner.attempts: must be greater than or equal to 1"),
        ("name: a\ninner: {retries_s: x}\n", "t.yaml:2:9: inner.retries_s: must be a number"),
        ("name: a\ninner: {mode: refused}\n", "t.yaml:2:9: inner.mode: must be 'accept' or 'refuse'"),
        ("name: a\non: maybe\n", "t.yaml:2:1: on: must be true or false"),
        ("name: a\n<<: {note: b}\n", "t.yaml:2:1: <<: unknown setting"),
    ],
)
def test_each_error_names_its_place(tmp_path: Path, text: str | bytes, line: str) -> None:
    lines = _lines(tmp_path, text)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_all_errors_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "inner:\n  attempts: x\n  mode: y\n  mode: accept\nitems:\n  - attempts: 99\n    foo: 1\nnamme: a\n"
    lines = _lines(tmp_path, text)
    assert [line.split(": ")[0] for line in lines] == [
        "t.yaml:1:1",  # name is missing
        "t.yaml:2:3",
        "t.yaml:3:3",
        "t.yaml:4:3",
        "t.yaml:6:5",
        "t.yaml:7:5",
        "t.yaml:8:1",
    ]
    assert lines[-1] == "t.yaml:8:1: namme: unknown setting; did you mean 'name'?"


@pytest.mark.parametrize(
    "text",
    [
        f"name: a\ninner: {{attempts: {CANARY}}}\n",
        f"name: a\ninner: {{mode: {CANARY}}}\n",
        f"name: a\ninner: {CANARY}\n",
        f"name: a\non: {CANARY}\n",
        f"name: a\n{CANARY}: b\n",
        f"name: [{CANARY}]\n",
        f"{CANARY}\n",
        f"name: a\nname: {CANARY}\n",
    ],
)
def test_no_value_is_echoed(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        _load(tmp_path, text)
    assert CANARY not in repr(caught.value)
    assert CANARY not in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_unreadable_files(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "absent", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(ConfigProblems) as caught:
            read_document(path)
        assert str(caught.value) == f"{path}: {what}; give the path of a readable file"
    (tmp_path / "large").write_bytes(b"#" * (YAML_BYTES_MAX + 1))
    with pytest.raises(ConfigProblems, match="this is no settings file"):
        read_document(tmp_path / "large")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_bounded(opening: str) -> None:
    with pytest.raises(ConfigProblems, match="nested more than 12 deep"):
        Document("t.yaml", opening * 20_000)


def test_a_long_or_broken_name_stays_one_short_line(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, f'name: a\n"x\\ny{"z" * 500}": b\n')
    assert len(line) < 120
    assert line.startswith("t.yaml:2:1: x\\nyzzz")


def test_any_text_is_a_model_or_problems(tmp_path: Path) -> None:
    """Total: whatever stands in the file, the answer is settings or lines."""
    dice = random.Random(7)
    good = "name: a\non: true\ninner:\n  attempts: 3\n  mode: accept\nitems:\n  - retries_s: 1\n  - {mode: refuse}\n"
    alphabet = "ab:{}[],&*!|>'\"%@`#-? \n\t\\0é中~<="
    for _ in range(3000):
        text = list(good)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 3)] = dice.choices(alphabet, k=dice.randint(0, 3))
        with contextlib.suppress(ConfigProblems):
            Document("t.yaml", "".join(text)).validate(Outer)
