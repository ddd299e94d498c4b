"""Who may do what on the control socket: the kernel's word for who asks, the configuration's for what they may."""

import asyncio
import grp
import json
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.core.station import Station
from posd.daemon.control import peer as peers
from posd.daemon.control.access import Access, NotAllowed
from posd.daemon.control.peer import NOBODY, Peer, peer_of, who_is
from posd.daemon.control.roles import ROLE_OF, Role
from posd.daemon.control.server import ControlServer
from posd.daemon.control.verbs import VERBS, Control
from posd.daemon.shown.questions import QUESTIONS
from posd.daemon.station_lane import Denied, StationLane
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.settings import AccessSettings
from posd.values import Now, Who
from tests.daemon.shop import Shop, a_shop

ALL = frozenset(Role)
POSD, STRANGER = 4_000_000_001, 4_000_000_002
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who alone can become somebody else")


def access(told: list[Denied] | None = None, **roles: list[str]) -> Access:
    settings = AccessSettings.model_validate(roles)
    return Access(settings, told.append if told is not None else lambda denied: None, own_uid=POSD)


def may(gate: Access, verb: str, peer: Peer) -> bool:
    try:
        asyncio.run(gate.admit(verb, peer))
    except NotAllowed:
        return False
    return True


# --- the table -----------------------------------------------------------------------------------------------------


def test_every_verb_has_a_role_and_no_role_is_of_a_verb_that_is_gone() -> None:
    assert set(ROLE_OF) == set(VERBS)
    assert {ROLE_OF[verb] for verb in QUESTIONS} == {Role.VIEW}
    assert all((role is Role.KEYS) == verb.startswith("keys.") for verb, role in ROLE_OF.items())


def test_what_ends_or_decides_takes_more_than_what_hurries() -> None:
    deciding = {verb for verb in VERBS if verb.endswith((".resolve", ".approve", ".decide", ".withdraw"))}
    assert {ROLE_OF[verb] for verb in deciding} == {Role.APPROVE}
    assert {ROLE_OF[verb] for verb in ("settle", "reversals.retry", "advices.retry")} == {Role.OPERATE}


def test_a_verb_without_a_role_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.daemon.control.access.ROLE_OF", {})
    assert not may(access(), "status", Peer(0))


# --- who has them --------------------------------------------------------------------------------------------------


def test_without_a_section_whoever_the_socket_lets_in_may_do_all_but_keys() -> None:
    gate = access()
    assert gate.roles_of(Peer(STRANGER)) == ALL - {Role.KEYS}
    assert gate.roles_of(Peer(0)) == gate.roles_of(Peer(POSD)) == ALL


def test_users_and_groups_by_number_and_by_name() -> None:
    me, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    gate = access(view=["user:4000000002"], operate=["group:4000000003"], approve=[f"user:{me.pw_name}"], keys=[])
    assert gate.roles_of(Peer(STRANGER)) == {Role.VIEW}
    assert gate.roles_of(Peer(7, frozenset({4_000_000_003}))) == {Role.VIEW, Role.OPERATE}
    assert Role.APPROVE in gate.roles_of(Peer(me.pw_uid))
    assert gate.roles_of(Peer(7)) == frozenset()
    by_group = access(view=[], operate=[], approve=[f"group:{group.gr_name}"])
    assert by_group.roles_of(Peer(7, frozenset({group.gr_gid}))) == {Role.VIEW, Role.APPROVE}


def test_a_name_that_this_machine_does_not_know_lets_nobody_in() -> None:
    gate = access(view=["user:no-such-user"], operate=["group:no-such-group"], approve=[])
    assert gate.roles_of(Peer(STRANGER, frozenset({STRANGER}))) == frozenset()


def test_nobody_is_nobody_even_where_everybody_may() -> None:
    told: list[Denied] = []
    gate = access(told)
    assert gate.roles_of(NOBODY) == frozenset()
    with pytest.raises(NotAllowed, match="cannot know who you are"):
        asyncio.run(gate.admit("status", NOBODY))
    assert told == [Denied(Who(), "control", "status", "view")]


def test_a_refusal_says_what_is_missing_who_one_is_and_what_to_do() -> None:
    told: list[Denied] = []
    gate = access(told, operate=["socket"], approve=["user:0", "group:0"])
    with pytest.raises(NotAllowed) as refused:
        asyncio.run(gate.admit("settle.approve", Peer(STRANGER)))
    said = str(refused.value)
    assert "settle.approve needs the role 'approve'; you are uid 4000000002, and have view and operate only" in said
    assert "ask root or user:0 or group:0, or have user:4000000002 added to access.approve" in said
    assert told == [Denied(Who(STRANGER), "control", "settle.approve", "approve")]


def test_d32_refusals_are_recorded_so_often_a_minute_for_each_who_asks() -> None:
    lane = StationLane(Station(unreadable_per_minute_max=2), UnionPay(Knobs()))

    def rows(who: Who, at_s: float) -> list[Any]:
        steps = lane.steps(Denied(who, "control", "settle.approve", "approve"), Now(0, at_s))
        return [(json.loads(str(step.rows[0].payload)), step.effects[0]) for step in steps]  # type: ignore[union-attr]

    anna, ben = Who(1001, "anna"), Who(1002, "ben")
    (first, alert), *_ = rows(anna, 0)
    assert first.pop("who") == {"uid": 1001, "user": "anna", "token": ""}
    assert first == {"door": "control", "wish": "settle.approve", "role": "approve", "unsaid": 0}
    assert (alert.event, alert.facts["who"]) == ("access_denied", "anna, uid 1001")
    assert [len(rows(anna, 1)) for _ in range(9)] == [1, *[0] * 8]
    assert len(rows(ben, 1)) == 1
    assert rows(anna, 61)[0][0]["unsaid"] == 8


# --- the kernel's word ---------------------------------------------------------------------------------------------


@contextmanager
def acting_as(uid: int, *gids: int) -> Iterator[None]:
    """What the kernel is told of who connects."""
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(list(gids[1:]))
    os.setegid(gids[0])
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def test_the_peer_of_this_process_is_this_user() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
    assert who_is(Peer(os.geteuid())).user == pwd.getpwuid(os.geteuid()).pw_name
    assert who_is(Peer(STRANGER)) == Who(STRANGER)
    assert not who_is(NOBODY).is_known


@as_root
def test_user_group_and_supplementary_groups_are_those_at_the_time_of_connecting() -> None:
    with acting_as(12_345, 12_346, 12_347, 65_534):
        ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(12_345, frozenset({12_346, 12_347}))  # the overflow group is no group


@as_root
def test_a_user_of_another_namespace_is_nobody() -> None:
    with acting_as(65_534, 100):
        ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peers.overflow("uid") == 65_534
        assert peer_of(ours) is NOBODY


def say_as(path: Path, uid: int, gid: int, verb: str, **args: Any) -> dict[str, Any]:
    """One line to the socket as that user, with no library of ours, and the last line of the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        with acting_as(uid, gid):
            client.connect(os.fspath(path))
        client.sendall(json.dumps({"v": 1, "id": f"{verb}/{uid}", "verb": verb, "args": args}).encode() + b"\n")
        client.shutdown(socket.SHUT_WR)
        said = client.makefile("rb").read().splitlines()
    answer: dict[str, Any] = json.loads(said[-1])
    return answer


@as_root
def test_a_group_lets_its_people_settle_and_only_a_named_one_decide() -> None:
    told: list[Denied] = []
    gate = access(told, operate=["group:12346"], view=[], approve=["user:12347"])

    async def story(path: Path, shop: Shop) -> None:
        runner = next(iter(shop.lanes.values()))
        of = runner.sticks()
        wish = {"id": of, "by": "Li Na", "reason": "the bank says so"}

        async def say(uid: int, gid: int, verb: str, **args: Any) -> Any:
            return await asyncio.to_thread(say_as, path, uid, gid, verb, **args)

        assert (await say(12_345, 12_346, "status"))["kind"] == "result"
        assert (await say(12_345, 12_346, "reversals.retry"))["kind"] == "result"
        assert runner.asked[-1] == e.RetryReversals("reversals.retry/12345:10000001", "uid 12345", None, Who(12_345))
        runner.keeps_silent()
        refused = await say(12_345, 12_346, "reversals.resolve", **wish)
        assert (refused["kind"], refused["data"]["misuse"]) == ("error", True)
        assert "needs the role 'approve'; you are uid 12345" in refused["data"]["error"]
        assert len(runner.asked) == 1
        assert (await say(12_347, 12_346, "reversals.resolve", **wish))["data"]["text"] == "resolved by Li Na"
        assert runner.asked[-1].who == Who(12_347)
        assert [denied.wish for denied in told] == ["reversals.resolve"]

    async def run(folder: Path) -> None:
        shop = a_shop()
        server = ControlServer(folder / "control", Control(shop, gate).handle, VERBS)
        await server.start()
        os.chown(folder / "control", 0, 12_346)
        try:
            await story(folder / "control", shop)
        finally:
            await server.stop()

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        asyncio.run(run(Path(folder)))
