"""What `posd status` says of the doors that terminals and tills come in by, and what of it a person must know.

Pure, like views.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from posd.core.schedule import local
from posd.daemon.shown.findings import ALERT, NOTE, finding_of
from posd.daemon.shown.views import View
from posd.values import Now

FULL_LATELY_S = 900.0
"""A door that is full now and turned somebody away within this time needs a person."""


UNPROVEN_LATELY_S = 86_400.0
"""So long a TLS handshake that did not succeed is told: a terminal may try once a day."""


@dataclass(frozen=True, slots=True)
class DoorShown:
    """One door at one moment. `kind`: tcp, serial or till; `why`: why it is not up.

    `refused_first_s`, `refused_last_s`: on the event loop's clock, when somebody was turned away because it was full;
    None: nobody was. `unproven`: connections whose TLS handshake did not succeed, why the last one did not, and when.
    """

    kind: str
    where: str
    up: bool
    why: str
    connected: int
    connections_max: int
    refused: int = 0
    refused_first_s: float | None = None
    refused_last_s: float | None = None
    unproven: int = 0
    unproven_why: str = ""
    unproven_last_s: float | None = None


def doors_view(doors: Sequence[DoorShown], now: Now, zone: str) -> list[View]:
    """Every door. Times are local ISO 8601 in `zone`."""
    return [_door_view(door, now, zone) for door in doors]


def _door_view(door: DoorShown, now: Now, zone: str) -> View:
    def when(at_s: float | None) -> str | None:
        if at_s is None:
            return None
        return local(now.wall_ms - round((now.monotonic_s - at_s) * 1000), zone).isoformat(timespec="seconds")

    def recently(at_s: float | None, lately_s: float) -> bool:
        return at_s is not None and now.monotonic_s - at_s <= lately_s

    full = door.connected >= door.connections_max and door.kind != "serial"
    lately = recently(door.refused_last_s, FULL_LATELY_S)
    return {
        "kind": door.kind,
        "where": door.where,
        "state": "full" if door.up and full else "up" if door.up else "down",
        "why": door.why,
        "connected": door.connected,
        "connections_max": door.connections_max,
        "turned_away": door.refused,
        "turned_away_since": when(door.refused_first_s),
        "turned_away_last": when(door.refused_last_s),
        "turns_away": full and lately,
        "unproven": door.unproven if recently(door.unproven_last_s, UNPROVEN_LATELY_S) else 0,
        "unproven_why": door.unproven_why,
        "unproven_last": when(door.unproven_last_s),
    }


def door_findings(doors: Iterable[View]) -> Iterator[View]:
    """Doors that are shut, and those that turn terminals or tills away."""
    for door in doors:
        where, setting = door["where"], "till" if door["kind"] == "till" else "door"
        if door["state"] == "down":
            text = f"the door {where} is down{': ' if door['why'] else ''}{door['why']}; nobody comes in by it"
            to_do = "put its adapter or cable back; posd opens it again by itself" if door["kind"] == "serial" else ""
            yield {"tid": None, **finding_of("door_down", ALERT, text, to_do, where=where, why=door["why"])}
        if count := door["unproven"]:
            why, last = door["unproven_why"], door["unproven_last"]
            text = f"{count} connection(s) to the door {where} proved nothing by TLS, last at {last}: {why}"
            to_do = "if it was a terminal of yours, look at its certificate; if not, at who can reach this port"
            facts = {"where": where, "count": count, "last": last, "why": why}
            yield {"tid": None, **finding_of("door_unproven", NOTE, text, to_do, **facts)}
        if door["turned_away"]:
            facts = {"where": where, "count": door["turned_away"], "since": door["turned_away_since"]}
            text = f"the door {where} was full and turned {facts['count']} connection(s) away since {facts['since']}"
            to_do = f"look who keeps so many connections, or raise {setting}.connections_max and restart posd"
            if door["turns_away"]:
                text, level, code = f"{text}, and it is full now: nobody else comes in", ALERT, "door_full"
            else:
                level, code = NOTE, "door_was_full"
            facts |= {"last": door["turned_away_last"], "setting": setting, "most": door["connections_max"]}
            yield {"tid": None, **finding_of(code, level, f"{text}, last at {facts['last']}", to_do, **facts)}
