"""YAML read so that every error can name its place: `file:line:column: path: what; hint`.

YAML's own types are never used (it reads 23:00 as 1380 and 00012345 as 5349): every scalar is handed to
pydantic as the text that stands in the file. Duplicate settings, anchors, tags and anything too large or too
deep are refused. A value is never echoed: it may be a key that was pasted into the wrong line.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from posd.errors import ConfigError

YAML_BYTES_MAX = 262_144
YAML_DEPTH_MAX = 12
NAME_CHARACTERS_SHOWN_MAX = 40

_TOO_DEEP = f"nested more than {YAML_DEPTH_MAX} deep"
"""What the C library says in its own words from 1,000 on."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{12,}")

Place = tuple[str | int, ...]
"""Where a value stands in the document: ("terminals", 0, "tid")."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. `line` and `column` count from 1; 0 where the file does not name the setting."""

    file: str
    line: int
    column: int
    path: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [part for part in (place, self.path, self.what) if part]
        return ": ".join(parts) + (f"; {self.hint}" if self.hint else "")


class ConfigProblems(ConfigError):
    """Every problem found, in the order of the file, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Document:
    """A YAML file as plain mappings, lists and text (`value`), and the place of every setting in it."""

    __slots__ = ("_marks", "duplicates", "file", "value")

    def __init__(self, file: str, text: str) -> None:
        """Raises ConfigProblems: bad YAML, empty, anchors, tags, several documents, too deep."""
        self.file = file
        self.duplicates: list[Problem] = []
        self._marks: dict[Place, tuple[int, int]] = {}
        events = _events(file, text)
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            raise ConfigProblems([Problem(file, 1, 1, "", "the file is empty", "start from the example")])
        self.value = self._node(events, next(events), ())
        next(events)  # the document's end
        extra = next(events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise _refusal(file, extra, "a second document", "keep one, without '---' between")

    def problem(self, path: Place, what: str, hint: str = "") -> Problem:
        """`what` is wrong with the setting at `path`, at its place or else at that of what should hold it."""
        line, column = self._place(path)
        return Problem(self.file, line, column, shown_path(path), what, hint)

    def place(self, path: Place) -> str:
        """`line 12` for a setting that the file gives, else `default`: to name a second place in a text."""
        return f"line {self._marks[path][0]}" if path in self._marks else "default"

    def paths(self) -> set[Place]:
        """Every place that the file gives."""
        return set(self._marks)

    def validate(self, model: type[M], context: dict[str, object] | None = None) -> M:
        """The document as a `model`. Raises ConfigProblems with all problems, duplicates included."""
        try:
            valid = model.model_validate(self.value, context=context)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            found = [self._translated(model, one) for one in details]
            # from None: pydantic's text shows the values
            raise ConfigProblems(self.duplicates + found) from None
        if self.duplicates:
            raise ConfigProblems(self.duplicates)
        return valid

    def _node(self, events: Iterator[Any], event: Any, path: Place) -> object:
        self._refuse(event, path)
        self._marks.setdefault(path, _start(event))
        match event:
            case yaml.ScalarEvent():
                return event.value
            case yaml.SequenceStartEvent():
                items: list[object] = []
                while not isinstance(event := next(events), yaml.SequenceEndEvent):
                    items.append(self._node(events, event, (*path, len(items))))
                return items
            case _:
                return self._mapping(events, path)

    def _mapping(self, events: Iterator[Any], path: Place) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            self._refuse(key, path)
            if not isinstance(key, yaml.ScalarEvent):
                raise _refusal(self.file, key, "a setting's name must be plain text", "write name: value")
            at = (*path, key.value)
            if key.value in values:
                line, column = _start(key)
                hint = f"the first is on line {self._marks[at][0]}; keep one"
                self.duplicates.append(
                    Problem(self.file, line, column, shown_path(at), "the setting is given twice", hint)
                )
                self._node(events, next(events), (*at, "\0twice"))
                continue
            self._marks[at] = _start(key)
            values[key.value] = self._node(events, next(events), at)
        return values

    def _refuse(self, event: Any, path: Place) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refusal(self.file, event, "anchors and aliases are not read", "write the value out")
        if event.tag is not None and event.tag != "!":
            raise _refusal(self.file, event, "tags are not read", "write the value without '!'")
        if len(path) > YAML_DEPTH_MAX:
            raise _refusal(self.file, event, _TOO_DEEP, "see the example")

    def _place(self, path: Place) -> tuple[int, int]:
        while path not in self._marks:
            path = path[:-1]
        return self._marks[path]

    def _translated(self, model: type[BaseModel], error: ErrorDetails) -> Problem:
        what, hint = _words(model, error)
        return self.problem(error["loc"], what, hint)


def read_document(path: Path) -> Document:
    """The file at `path`. Raises ConfigProblems: unreadable, too large, not UTF-8, and what Document refuses."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(YAML_BYTES_MAX + 1)
    except OSError as error:
        what = (error.strerror or "cannot be read").lower()
        raise ConfigProblems([Problem(file, 0, 0, "", what, "give the path of a readable file")]) from None
    if len(content) > YAML_BYTES_MAX:
        what = f"longer than {YAML_BYTES_MAX} bytes"
        raise ConfigProblems([Problem(file, 0, 0, "", what, "this is no settings file")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        raise ConfigProblems([_at_end_of(file, before, "not UTF-8", "save the file as UTF-8")]) from None
    return Document(file, text)


def load_model(path: Path, model: type[M]) -> M:
    """The settings in the file at `path`. Raises ConfigProblems (a ConfigError): all problems, one a line."""
    return read_document(path).validate(model)


def shown_path(path: Place) -> str:
    """`terminals[0].tid`; a name that could be a key, or that would break the line, is not shown as it is."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_shown_name(step)}"
    return text.lstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest of `known`, or all of a few, or nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def _shown_name(name: str) -> str:
    if _LIKE_A_KEY.fullmatch(name):
        return "***"
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= NAME_CHARACTERS_SHOWN_MAX else shown[:NAME_CHARACTERS_SHOWN_MAX] + "…"


def _events(file: str, text: str) -> Iterator[Any]:
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        what = f"the character U+{ord(unprintable[0]):04X} is not allowed"
        raise ConfigProblems([_at_end_of(file, text[: unprintable.start()], what, "remove it")])
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        what = _TOO_DEEP if "nesting depth" in str(error.problem) else f"not YAML: {error.problem or 'unreadable'}"
        raise ConfigProblems([Problem(file, line, column, "", what, _yaml_hint(what))]) from None


def _yaml_hint(what: str) -> str:
    return (
        "indent with blanks, never tabs" if "\\t" in what or "token" in what else "look at this line and the one above"
    )


def _at_end_of(file: str, before: str, what: str, hint: str) -> Problem:
    lines = before.split("\n")
    return Problem(file, len(lines), len(lines[-1]) + 1, "", what, hint)


def _refusal(file: str, event: Any, what: str, hint: str) -> ConfigProblems:
    line, column = _start(event)
    return ConfigProblems([Problem(file, line, column, "", what, hint)])


def _start(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _words(model: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """What a pydantic error says to a shop's technician, and the hint; never the value."""
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "unknown setting", did_you_mean(str(error["loc"][-1]), _fields_at(model, error["loc"][:-1]))
        case "missing":
            return "the setting is missing", "see the example"
        case "literal_error":
            return f"must be {context['expected']}", ""
        case "model_type" | "dict_type" | "model_attributes_type" | "dataclass_type":
            return "must hold settings (name: value)", ""
        case "list_type" | "tuple_type":
            return "must be a list", "write one item a line, each after '- '"
        case "string_type":
            return "must be one value, not a list or a mapping", ""
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number", ""
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a number", ""
        case "bool_parsing" | "bool_type":
            return "must be true or false", ""
        case "value_error":
            what, _, hint = str(context["error"]).partition("; ")
            return what, hint
        case _:
            return error["msg"].replace("Input should be", "must be"), ""


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The names of the settings that may stand at `path` below `model`."""
    found: Any = model
    for step in path:
        if isinstance(step, int):
            continue
        fields = getattr(found, "model_fields", {})
        found = _model_in(fields[step].annotation) if step in fields else None
    return list(getattr(found, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
