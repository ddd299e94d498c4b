"""What of a newly read configuration counts at once, and what takes a restart (SIGHUP).

A list of what may change, not of what may not: a setting that nobody thought about takes a restart. Pure; it applies
nothing.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from posd.settings import RouteSettings, Section, Settings, TerminalSettings

Path = tuple[str, ...]

EACH = "*"
"""Any item of a list."""

_TLS_OF_HOST = ("ca_file", "certificate_file", "key_file", "server_name", "pin", "minimum_version")

AT_ONCE: frozenset[Path] = frozenset(
    {
        ("log", "level"),
        ("drain_timeout_s",),
        *(("host", "tls", name) for name in _TLS_OF_HOST),
        *(("host", "routes", EACH, "tls", name) for name in _TLS_OF_HOST),
        ("host", "echo_interval_s"),
        ("host", "unmaced_decline"),
        ("host", "refund_repeat"),
        ("host", "completion_percent_max"),
        ("host", "parameters"),
        ("host", "sign_off_after_close"),
        ("host", "reversal_success_codes"),
        ("door", "terminal_timeout_s"),
        ("door", "tls", "certificate_file"),
        ("door", "tls", "key_file"),
        ("door", "tls", "minimum_version"),
        ("access",),
        ("approval",),
        ("till", "token_file"),
        ("till", "tokens"),
        ("till", "confirm_within_s"),
        ("reversal",),
        ("advice",),
        ("settlement", "at"),
        ("settlement", "hold_max_s"),
        ("settlement", "retry"),
        ("settlement", "clock_skew_max_s"),
        ("settlement", "minimum"),
        ("settlement", "maximum"),
        ("settlement", "deferral_max_s"),
        ("settlement", "empty_batch"),
        ("settlement", "host_cutover_at"),
        ("settlement", "day_ends_at"),
        ("journal", "free_bytes_min"),
        ("certificates", "alert_days"),
        ("terminals", EACH, "pin"),
        ("terminals", EACH, "settlement", "at"),
    }
)
"""Numbers, times and choices that the next decision reads, and files that are read anew. What connections, dialects,
keys and doors are made of is not among them, nor what would say less than is true of connections that are up."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Changes:
    """`settings` is what runs from now on: the old ones with what counts at once. The others by their names."""

    settings: Settings
    at_once: tuple[str, ...]
    restart: tuple[str, ...]

    def nothing_at_once(self, old: Settings) -> "Changes":
        """The same where what counts at once cannot be without what does not."""
        return Changes(old, (), tuple(sorted({*self.at_once, *self.restart})))


def compare(old: Settings, new: Settings) -> Changes:
    """What the new ones change."""
    found = _Comparison()
    settings = found.section(old, new, (), "")
    return Changes(settings, tuple(found.at_once), tuple(found.restart))


class _Comparison:
    def __init__(self) -> None:
        self.at_once: list[str] = []
        self.restart: list[str] = []

    def section(self, old: M, new: M, path: Path, shown: str) -> M:
        """`old`, with what of `new` counts at once."""
        changed: dict[str, Any] = {}
        for name in type(old).model_fields:
            before, after = getattr(old, name), getattr(new, name)
            if before != after:
                at, label = (*path, name), f"{shown}.{name}".lstrip(".")
                changed[name] = self._value(before, after, at, label)
        return old.model_copy(update=changed) if changed else old

    def _value(self, old: Any, new: Any, path: Path, shown: str) -> Any:
        if isinstance(old, Section) and isinstance(new, Section):
            return self.section(old, new, path, shown)
        if any(path[:length] in AT_ONCE for length in range(1, len(path) + 1)):
            self.at_once.append(shown)
            return new
        if _is_keyed(old) and _is_keyed(new):
            return self._items(old, new, (*path, EACH), shown)
        self.restart.append(shown)
        return old

    def _items(self, old: tuple[Any, ...], new: tuple[Any, ...], path: Path, shown: str) -> tuple[Any, ...]:
        """Item by item by their names; what came or went takes a restart, and so does another order of routes."""
        before, after = {_key(item): item for item in old}, {_key(item): item for item in new}
        self.restart += [f"{shown}[{key}]" for key in before.keys() ^ after.keys()]
        if isinstance(old[0], RouteSettings) and before.keys() == after.keys() and list(before) != list(after):
            self.restart.append(shown)
        return tuple(
            self.section(item, after[key], path, f"{shown}[{key}]") if key in after else item
            for key, item in before.items()
        )


def _is_keyed(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], TerminalSettings | RouteSettings)


def _key(item: TerminalSettings | RouteSettings) -> str:
    return item.tid if isinstance(item, TerminalSettings) else item.name
