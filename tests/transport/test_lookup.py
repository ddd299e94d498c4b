"""A resolver that is not there holds up nobody but who needs it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from posd.transport.lookup import addresses_of
from posd.transport.tcp import connect_tcp

DEAD = "host.of.a.dead.resolver.example"
LIMIT_S = 10.0


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """The names that were looked up so far; set the event, and the resolver says that it knows none."""
    real, asked, over = socket.getaddrinfo, list[str](), threading.Event()

    def getaddrinfo(host: str, *more: Any, **how: Any) -> Any:
        if host != DEAD or how.get("flags"):
            return real(host, *more, **how)
        asked.append(host)
        over.wait(LIMIT_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked, over
    over.set()
    for thread in lookups():
        thread.join(LIMIT_S)


def lookups() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "lookup"]


def test_connections_that_wait_for_a_dead_resolver_take_no_thread_from_others(
    dead: tuple[list[str], threading.Event],
) -> None:
    asked, _ = dead

    async def story() -> None:
        tries = [connect_tcp(DEAD, 5000, 0.2) for _ in range(50)]
        ends = await asyncio.gather(*tries, return_exceptions=True)
        assert {type(end) for end in ends} == {TimeoutError}
        assert asked == [DEAD], "looked up once at a time"
        async with asyncio.timeout(LIMIT_S / 2):
            assert await asyncio.to_thread(lambda: "served") == "served"

    asyncio.run(story())
    assert [one.daemon for one in lookups()] == [True], "no end waits for it"


def test_everybody_who_waits_is_told_and_the_next_one_asks_anew(dead: tuple[list[str], threading.Event]) -> None:
    asked, over = dead

    async def story() -> None:
        tries = [asyncio.create_task(connect_tcp(DEAD, 5000, LIMIT_S)) for _ in range(3)]
        while not asked:
            await asyncio.sleep(0.001)
        over.set()
        ends = await asyncio.gather(*tries, return_exceptions=True)
        said = {end.strerror if isinstance(end, OSError) else str(end) for end in ends}
        assert said == {f"cannot connect to {DEAD}:5000: Temporary failure in name resolution"}
        with pytest.raises(socket.gaierror):
            await addresses_of(DEAD, 5000)
        assert len(asked) == 2

    asyncio.run(story())


@pytest.mark.parametrize("name", ["127.0.0.1", "::1"])
def test_an_address_asks_nobody(name: str) -> None:
    async def story() -> None:
        before = threading.active_count()
        found = await addresses_of(name, 5000)
        assert [address[:2] for *_, address in found] == [(name, 5000)]
        assert threading.active_count() == before

    asyncio.run(story())


def test_what_can_be_no_name_is_an_oserror() -> None:
    async def story() -> None:
        with pytest.raises(OSError, match="cannot connect"):
            await connect_tcp("x" * 70 + ".example", 5000, LIMIT_S)

    asyncio.run(story())
