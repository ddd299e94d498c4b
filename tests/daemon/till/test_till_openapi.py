"""The OpenAPI document is true: schemathesis asks the running server for everything that stands in it."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from posd.daemon.till.openapi import document
from tests.daemon.stage import TID, Stage, play
from tests.daemon.till.client import ORDERS, SALE, TOKEN, Till, with_till

SEED = 20_260_302
EXAMPLES = 12
RUN_S = 120.0


async def schemathesis(folder: Path, till: Till) -> tuple[int, str]:
    """Its exit status and what it said; the endless stream has tests of its own (test_till_events)."""
    settings = folder / "schemathesis.toml"
    settings.write_text(
        "[checks.positive_data_acceptance]\nexpected-statuses = ['2xx', 401, 403, 404, 409, 422]\n"
        "[generation]\ndeterministic = true\n"
    )
    url = f"http://127.0.0.1:{till.port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
        *("run", f"{url}/v1/openapi.json", "--url", url, "-H", f"Authorization: Bearer {TOKEN}"),
        *("--exclude-path", "/v1/events", "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
        *("--seed", str(SEED), "--generation-database", "none", "--no-color", "--continue-on-failure"),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), RUN_S)
    return process.returncode or 0, said.decode()


def test_schemathesis_finds_nothing(staged: Callable[..., Stage]) -> None:
    stage = staged()
    till = with_till(stage, connections_max=64)

    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await till.order("s-1")).status == 200
        status, said = await schemathesis(stage.folder, till)
        assert status == 0, said
        tested = re.search(r"(\d+) generated", said)
        assert tested is not None, said
        assert int(tested[1]) > 200, said
        assert (await till.ask("GET", f"{ORDERS}/s-1")).json["status"] == "approved"
        assert (await till.order("s-after", SALE)).json["status"] == "approved"

    play(stage, story, limit_s=RUN_S + 30)


@pytest.mark.parametrize("accepted", [True, False])
def test_it_says_whether_cards_are_taken(accepted: bool) -> None:
    said = document(accepted, [TID])["info"]["description"]
    assert ("accepted" in said) is accepted


def test_whatever_the_door_answers_by_itself_stands_in_it(staged: Callable[..., Stage]) -> None:
    """To a token that may only look, to wrong tokens, and to requests that are too long."""
    stage = staged()
    display = stage.folder / "display.token"
    display.touch(mode=0o600)
    display.write_text("display-" + "0123456789abcdef" * 2)
    till = with_till(stage, tokens=[{"name": "display", "file": str(display), "role": "view"}], token_file="")
    paths = document(True, [TID])["paths"]

    def is_said(verb: str, path: str, status: int) -> bool:
        return str(status) in paths[path][verb]["responses"]

    async def story(stage: Stage) -> None:
        await stage.start()
        looks = {"Authorization": f"Bearer {display.read_text()}", "Idempotency-Key": "k"}
        asked = [(verb, path) for path, verbs in paths.items() for verb in ("get", "post") if verb in verbs]
        for verb, path in asked:
            real = path.replace("{tid}", TID).replace("{id}", "s-1")
            for change in ({}, {"X-Long": "x" * 40_000}, {"Authorization": "Bearer wrong"}, {"Authorization": ""}):
                if path != "/v1/events" or change:  # that one is endless
                    said = await till.ask(verb.upper(), real, headers=looks | change, tcp=True)
                    assert is_said(verb, path, said.status), (verb, path, said.status)
        statuses = [
            (await till.ask("GET", "/v1/health", headers={"Authorization": "Bearer wrong"}, tcp=True)).status
            for _ in range(12)
        ]
        assert statuses[-1] == 429
        assert is_said("get", "/v1/health", 429)

    play(stage, story)
