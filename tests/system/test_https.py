"""Real processes over HTTPS with certificates both ways: sign-in, sales, a lost answer, kill -9, settlement."""

import asyncio
from collections.abc import Callable

import pytest

from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.daemon.stage import MID, TMK
from tests.system.house import CANARY, EXPIRY, House
from tests.transport.pki import Pki

pytestmark = pytest.mark.system


def test_a_day_over_https_with_a_kill(built: Callable[..., House]) -> None:
    pki = Pki.shared()
    certificates = [f"--{name}={pki.file(file)}" for name, file in (("certificate", "host.pem"), ("key", "host.key"))]
    files = {"ca_file": "ca.pem", "certificate_file": "client.pem", "key_file": "client.key"}
    tls = {name: str(pki.file(file)) for name, file in files.items()}
    house = built(
        scheme="https",
        host_arguments=("--https", *certificates, f"--client-ca={pki.ca}"),
        change={"host": {"mode": "one_shot", "connect_timeout_s": 1, "reply_timeout_s": 2, "tls": tls}},
        faults=(
            {"mti": "0200", "amount": "6.66", "do": "lose_answer"},
            {"mti": "0200", "amount": "7.77", "do": "http_status"},
        ),
    )

    async def story() -> None:
        house.start()
        await house.ready()
        terminal = Terminal(house.tids[0], MID, bytes.fromhex(TMK))
        client = TerminalClient(terminal, "127.0.0.1", house.door_port, timeout_s=4.0)

        async def sale(amount: str) -> str:
            step = {"do": "sale", "amount": amount, "card": CANARY, "expiry": EXPIRY}
            return str((await client.do(step))["outcome"])

        assert await sale("1.00") == "approved"
        assert await sale("7.77") != "approved"
        assert await sale("2.00") == "approved"
        lost = asyncio.create_task(sale("6.66"))
        await asyncio.sleep(0.5)
        house.kill()
        house.start()
        await house.ready()
        assert await lost != "approved"
        await house.agreed()
        assert await sale("3.00") == "approved"
        await client.do({"do": "settle"})
        await house.agreed()
        await house.settled()
        await client.close()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 90))
    kinds = [row.kind for row in house.records()]
    assert kinds.count("reversal_owed") == kinds.count("reversal_acknowledged") == 2
    assert kinds.count("batch_closed") == 1
    assert house.differences() == []
    assert house.chain_findings() == []
    assert house.canary_in() == []
    assert "Traceback" not in house.errors()
