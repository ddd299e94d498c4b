"""What of a changed configuration counts at once, what takes a restart, and what then runs."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from posd.config.changes import AT_ONCE, EACH, compare
from posd.settings import RouteSettings, Settings, TerminalSettings
from tests.daemon.stage import merged

BASE: dict[str, Any] = {
    "version": 1,
    "host": {"routes": [{"name": "wired", "address": "tls://a:1"}, {"name": "mobile", "address": "b:2"}]},
    "terminals": [
        {"tid": "10000001", "mid": "898100012345678"},
        {"tid": "10000002", "mid": "898100012345678"},
    ],
}


def settings(**change: Any) -> Settings:
    return Settings.model_validate(merged(BASE, change))


def test_nothing_changed() -> None:
    changes = compare(settings(), settings())
    assert (changes.at_once, changes.restart) == ((), ())
    assert changes.settings == settings()


def test_what_counts_at_once_is_taken_and_the_rest_is_named() -> None:
    new = settings(
        log={"level": "debug", "format": "console"},
        settlement={"at": ["22:00"], "zone": "UTC", "maximum": "100.00"},
        reversal={"retry": {"max_s": 60}},
        host={"reply_timeout_s": 20, "echo_interval_s": 60},
    )
    changes = compare(settings(), new)
    assert set(changes.at_once) == {
        "log.level",
        "settlement.at",
        "settlement.maximum",
        "reversal.retry.max_s",
        "host.echo_interval_s",
    }
    assert set(changes.restart) == {"log.format", "settlement.zone", "host.reply_timeout_s"}
    runs = changes.settings
    assert (runs.log.level, runs.log.format) == ("debug", "json")
    assert (runs.settlement.maximum, runs.settlement.zone) == (10_000, "Asia/Shanghai")
    assert (runs.host.reply_timeout_s, runs.host.echo_interval_s) == (30.0, 60.0)
    assert compare(runs, new).at_once == (), "asked again, there is nothing left that counts at once"
    assert set(compare(runs, new).restart) == set(changes.restart)


def test_terminals_are_compared_by_their_ids() -> None:
    first, second = BASE["terminals"]
    new = settings(
        terminals=[{**second, "settlement": {"at": ["21:00"]}, "mac": "required"}, {**first, "tid": "10000003"}]
    )
    changes = compare(settings(), new)
    assert changes.at_once == ("terminals[10000002].settlement.at",)
    assert set(changes.restart) == {"terminals[10000001]", "terminals[10000003]", "terminals[10000002].mac"}
    assert [terminal.tid for terminal in changes.settings.terminals] == ["10000001", "10000002"]
    other_order = settings(terminals=[second, first])
    assert compare(settings(), other_order).restart == ()


def test_routes_are_compared_by_their_names_and_their_order_counts() -> None:
    wired, mobile = BASE["host"]["routes"]
    base = settings(host={"routes": [{**wired, "tls": {"ca_file": "a.pem"}}, mobile]})
    new = settings(host={"routes": [{**wired, "tls": {"ca_file": "b.pem"}}, {**mobile, "address": "c:2"}]})
    changes = compare(base, new)
    assert changes.at_once == ("host.routes[wired].tls.ca_file",)
    assert changes.restart == ("host.routes[mobile].address",)
    assert compare(settings(), settings(host={"routes": [mobile, wired]})).restart == ("host.routes",)
    assert compare(settings(), settings(host={"routes": [wired]})).restart == ("host.routes[mobile]",)


@pytest.mark.parametrize("name", ["verify", "no_such"])
def test_verification_is_turned_on_and_off_by_a_restart_only(name: str) -> None:
    """A line that is up to an unproven host would otherwise stay up, and be called verified."""
    assert ("host", "tls", name) not in AT_ONCE
    new = settings(host={"tls": {"verify": "no_anyone_may_pretend_to_be_the_host"}})
    assert compare(settings(), new).restart == ("host.tls.verify",)


def test_what_may_change_are_settings_that_there_are() -> None:
    assert {path for path in AT_ONCE if not any(place[: len(path)] == path for place in _places(Settings))} == set()


def _places(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = {"terminals": TerminalSettings, "routes": RouteSettings}
    for name, field in model.model_fields.items():
        kind: Any = inner.get(name) or field.annotation
        place = (*at, name, EACH) if name in inner else (*at, name)
        for one in (kind, *getattr(kind, "__args__", ())):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from _places(one, place)
        yield place
