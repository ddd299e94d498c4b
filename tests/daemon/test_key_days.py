"""Keys in a running posd: loaded, listed, rotated through it; and days with a token that goes away and comes back."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.cli.keys.rotate import rotate_command
from posd.cli.lang import Lang
from posd.config import load
from posd.daemon.assemble import DATA_KEYS_FOLDER
from posd.daemon.control.server import Misused, call
from posd.daemon.keys import watch
from posd.journal.reader import JournalReader
from posd.security.datakeyfile import key_files, read_key_file
from posd.security.keys import DES
from posd.security.keystore import NewTmk
from posd.security.machine import load_machine_key
from posd.security.wrapping import wrapped_under
from tests.daemon.stage import TID, TMK, Stage, play, write_configuration
from tests.sealing import seal_tmk
from tests.security.tokens import CLIENT, PIN, SOFTHSM, Plug, Token, make_token, needs_p11_kit, needs_softhsm

MakeStage = Callable[..., Stage]


def without_plain_keys(stage: Stage) -> None:
    for terminal in stage.settings["terminals"]:
        terminal.pop("tmk_file", None)


def records(stage: Stage, kind: str) -> list[dict[str, Any]]:
    with JournalReader(stage.folder / "state" / "journal") as reader:
        return [json.loads(row.payload) for row in reader.records(kind=kind)]


async def asked(stage: Stage, verb: str, **args: Any) -> dict[str, Any]:
    return await asyncio.to_thread(call, Path(stage.settings["control_socket"]), verb, args)


def test_keys_are_loaded_and_listed_through_the_daemon(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        without_plain_keys(stage)
        seal_tmk(load(write_configuration(stage.folder, stage.settings)), TID)
        await stage.start()
        assert (await stage.sale("1.00"))["code"] == "00"
        other = TMK[::-1]
        loaded = await asked(stage, "keys.load", tid=TID, index=1, key=other, by="Li Na; Wang Wei")
        assert (loaded["in_use"], loaded["by"]) == (False, ["Li Na", "Wang Wei"])
        listed = (await asked(stage, "keys.list"))["keys"]
        assert [(one["index"], one["in_use"]) for one in listed] == [(0, True), (1, False)]
        for args, why in (
            ({"index": 1, "key": other, "by": "Li Na"}, "none is ever replaced"),
            ({"index": 2, "key": other[:-1], "by": "Li Na"}, "32 or 16 hexadecimal digits"),
            ({"index": 2, "key": other, "by": "Li Na; li na"}, "different names"),
            ({"index": 2, "key": other}, "who entered the key"),
        ):
            with pytest.raises(Misused, match=why) as refused:
                await asked(stage, "keys.load", tid=TID, **args)
            assert other not in str(refused.value)
        with pytest.raises(Misused, match="works with index 0"):
            await asked(stage, "keys.remove", tid=TID, index=0, by="Li Na", reason="a try")
        await asked(stage, "keys.remove", tid=TID, index=1, by="Li Na", reason="a try")
        assert [one["check_value"] for one in records(stage, "tmk_loaded")] == [loaded["check_value"]]
        assert [one["reason"] for one in records(stage, "tmk_removed")] == ["a try"]
        said = stage.log.getvalue()
        assert other not in said
        assert {"tmk_loaded", "tmk_removed"} <= stage.events()
        assert stage.differences() == []

    play(staged(), story)


def test_the_machine_key_is_rotated_in_the_middle_of_a_day(staged: MakeStage) -> None:
    """Sales go on, new data keys are under the new key, and a posd that is started with it alone knows every card."""

    async def story(stage: Stage) -> None:
        without_plain_keys(stage)
        path = write_configuration(stage.folder, stage.settings)
        seal_tmk(load(path), TID)
        await stage.start()
        await stage.sale("1.00")
        before = load_machine_key(stage.folder / "machine.key")
        rotating = asyncio.create_task(asyncio.to_thread(rotate_command, path, "Li Na", True, Lang.EN))
        codes = [(await stage.sale(f"2.0{number}"))["code"] for number in range(5)]
        assert await rotating == 0
        assert set(codes) == {"00"}
        assert (await stage.sale("3.00"))["code"] == "00"
        stages = [(one["stage"], one["by"]) for one in records(stage, "machine_key_rotation")]
        assert stages == [("begun", "Li Na"), ("ended", "Li Na")]
        await stage.end()
        await stage.start()
        assert load_machine_key(stage.folder / "machine.key").id != before.id
        void = await stage.terminal().do({"do": "void", "of_stan": 1})
        assert void["outcome"] == "approved"
        data_keys = list(key_files(stage.folder / "state" / DATA_KEYS_FOLDER))
        assert len(data_keys) >= 2
        under = {wrapped_under(bytes.fromhex(read_key_file(path).wrapped)) for path in data_keys}
        assert under == {load_machine_key(stage.folder / "machine.key").id}
        assert stage.differences() == []

    play(staged(), story)


def test_a_rotation_is_refused_to_whoever_has_not_the_present_key(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        with pytest.raises(Misused, match="is not the one in machine_key_file"):
            await asked(stage, "keys.rotate", wrapped="02" + "00" * 60, by="Eve")
        assert records(stage, "machine_key_rotation") == []

    play(staged(), story)


def in_a_token(stage: Stage, token: Token, module: Path, wait_max_s: float = 2.0) -> None:
    """The TMK of the terminal in the token, and posd told so."""
    pytest.importorskip("pkcs11", reason="no python-pkcs11: pip install 'posd[pkcs11]'")
    from posd.security.tokenlogin import open_token

    (stage.folder / "pin").touch(mode=0o600)
    (stage.folder / "pin").write_text(PIN)
    without_plain_keys(stage)
    stage.settings["keys"] = {
        "home": "pkcs11",
        "module": str(module),
        "token": token.label,
        "pin_file": str(stage.folder / "pin"),
        "wait_max_s": wait_max_s,
    }
    machine_key = load_machine_key(stage.folder / "machine.key")
    keys = open_token(module, token.label, stage.folder / "pin", 30.0, stage.folder, machine_key)
    keys.add(NewTmk(TID, 0, bytes.fromhex(TMK), DES, ("Li Na", "Wang Wei"), 1))
    keys.close()


@needs_softhsm
def test_a_day_with_keys_in_a_token(staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        in_a_token(stage, token, SOFTHSM)
        await stage.start()
        terminal = stage.terminal()
        await terminal.do({"do": "sign_in"})
        assert (await stage.sale("1.00"))["code"] == "00"
        assert (await stage.sale("1.13"))["code"] != "00"
        await stage.until(lambda: not stage.state().unended_reversals())
        assert (await asked(stage, "keys.list"))["keys"][0]["home"] == "pkcs11"
        await asked(stage, "settle", tid=TID)
        await stage.end()
        await stage.start(signed_in=False)  # D26: the held block opens again, without a new sign-in
        assert stage.state().session.signed_in
        assert (await stage.sale("2.00"))["code"] == "00"
        assert stage.differences() == []

    token = make_token(tmp_path)
    for name, value in token.environment.items():
        monkeypatch.setenv(name, value)
    lost = {"mti": "0200", "amount": "*13", "do": "lose_answer"}
    play(
        staged(faults=[lost], change={"terminals": [{"tid": TID, "mid": "898100012345678", "mac": "required"}]}), story
    )


@needs_softhsm
@needs_p11_kit
def test_a_token_is_pulled_out_in_the_middle_of_a_day(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused clearly, nothing wrong said, nothing dropped; with the token back everything goes on by itself."""
    plug = Plug(make_token(tmp_path))

    async def story(stage: Stage) -> None:
        in_a_token(stage, plug.token, CLIENT)
        await stage.start()
        assert (await stage.sale("1.00"))["code"] == "00"
        plug.pull_out()
        refused = await stage.sale("2.00")
        assert refused["code"] == "91"
        assert len(stage.received("0200")) == 1
        await stage.until(lambda: stage.alerts("token_out_of_reach"))
        assert "token_out_of_reach" in [one["code"] for one in (await asked(stage, "status"))["findings"]]
        sign_ins = len(stage.received("0800"))
        stage.cut()
        await stage.until(lambda: stage.daemon.link_up)
        assert len(stage.received("0800")) == sign_ins
        plug.put_in()
        await stage.until(lambda: "token_back" in stage.events())
        assert (await stage.sale("3.00"))["code"] == "00"
        changes = [(one["reachable"], bool(one["because"])) for one in records(stage, "token_changed")]
        assert changes == [(False, True), (True, False)]
        assert stage.differences() == []

    monkeypatch.setenv("P11_KIT_SERVER_ADDRESS", plug.address)
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    plug.put_in()
    try:
        play(staged(), story)
    finally:
        plug.pull_out()


@needs_softhsm
@needs_p11_kit
def test_an_approval_whose_mac_cannot_be_checked_is_reversed_when_the_token_is_back(
    staged: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = Plug(make_token(tmp_path))

    async def story(stage: Stage) -> None:
        in_a_token(stage, plug.token, CLIENT)
        await stage.start()
        selling = asyncio.create_task(stage.sale("2.00"))
        await stage.until(lambda: stage.received("0200"))
        plug.pull_out()
        assert (await selling)["code"] != "00"
        assert stage.state().unended_reversals()
        plug.put_in()
        await stage.until(lambda: not stage.state().unended_reversals())
        assert (await stage.sale("3.00"))["code"] == "00"
        assert stage.differences() == []

    monkeypatch.setenv("P11_KIT_SERVER_ADDRESS", plug.address)
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    plug.put_in()
    slow = {"mti": "0200", "amount": "2.00", "do": "delay", "ms": 400}
    try:
        play(staged(faults=[slow], change={"host": {"reply_timeout_s": 3}}), story)
    finally:
        plug.pull_out()
