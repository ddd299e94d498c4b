"""One host on several ports: routes to the same books, each of which can be cut and mended."""

import asyncio
import contextlib
from typing import Any

import pytest

from simulators.host.__main__ import main
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults
from simulators.host.server import HostServer
from simulators.host.settings import HostSettings
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal

TID, MID, TMK = "10000001", "898100012345678", "0123456789ABCDEFFEDCBA9876543210"
CARD = "6225880123456789"
SETTINGS = HostSettings.model_validate(
    {
        "terminals": [{"tid": TID, "mid": MID, "tmk": TMK}],
        "cards": [{"pan": CARD, "balance": "100.00"}],
        "listen": ["127.0.0.1:0", "127.0.0.1:0"],
    }
)


async def sale(port: int, stan: int, terminal: Terminal) -> Any:
    client = TerminalClient(terminal, "127.0.0.1", port, timeout_s=3.0)
    try:
        return await client.do({"do": "sale", "amount": f"{stan}.00", "card": CARD, "expiry": "3012"})
    finally:
        await client.close()


def test_routes_share_the_books_and_are_cut_alone() -> None:
    said: list[dict[str, Any]] = []

    async def run() -> None:
        server = HostServer(Acquirer(SETTINGS, 1), Faults((), 1), emit=said.append)
        await server.start("127.0.0.1", 0, ("127.0.0.1", 0))
        first, second = server.ports
        terminal = Terminal(TID, MID, bytes.fromhex(TMK))
        signing = TerminalClient(terminal, "127.0.0.1", first, timeout_s=3.0)
        await signing.do({"do": "sign_in"})
        assert (await sale(first, 1, terminal))["outcome"] == "approved"
        assert (await sale(second, 2, terminal))["outcome"] == "approved", "the keys of the first serve on the second"
        server.cut(first)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", first)
        assert (await sale(second, 3, terminal))["outcome"] == "approved"
        await server.mend(first)
        assert (await sale(first, 4, terminal))["outcome"] == "approved"
        with contextlib.suppress(OSError):
            await signing.close()
        await server.close()

    asyncio.run(run())
    ports = [event["port"] for event in said if event["event"] == "received" and event["mti"] == "0200"]
    assert [ports[0], ports[0], ports[1], ports[1]] == [ports[0], ports[3], ports[1], ports[2]]


def test_one_port_of_several_that_cannot_be_had_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    path = tmp_path / "host.yaml"
    path.write_text(f"terminals: [{{tid: '{TID}', mid: '{MID}', tmk: '{TMK}'}}]\n")
    assert main(["--config", str(path), "--listen", "127.0.0.1:0", "--listen", "192.0.2.1:1"]) == 2
    assert "cannot listen on 127.0.0.1:0, 192.0.2.1:1: " in capsys.readouterr().err
