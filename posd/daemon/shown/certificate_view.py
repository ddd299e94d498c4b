"""What posd says of the certificates that it lives by: when each ends, and what of it a person must know. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from posd.core.schedule import local
from posd.daemon.shown.findings import ALERT, finding_of
from posd.daemon.shown.views import View
from posd.security.certificates import Certificate

DAY_MS = 86_400_000


class Role(StrEnum):
    """Whose a certificate is."""

    HOST = "host"
    OURS = "ours"
    AUTHORITY = "authority"
    DOOR = "door"
    TERMINALS = "terminals"


class Standing(StrEnum):
    """How one stands with the time."""

    GOOD = "good"
    SOON = "soon"
    EXPIRED = "expired"
    EARLY = "early"


OF_THE_LINE = (Role.HOST, Role.OURS, Role.AUTHORITY)
"""Without these there is no line to the host."""

OF: Mapping[Role, str] = {
    Role.HOST: "the host's certificate",
    Role.OURS: "our certificate for the host",
    Role.AUTHORITY: "the authority of the host's certificate",
    Role.DOOR: "the certificate of the doors",
    Role.TERMINALS: "the authority of the terminals' certificates",
}

TO_DO: Mapping[Role, str] = {
    Role.HOST: "ask the acquirer for the day of the new one; where its key is pinned, pin the new one before",
    Role.OURS: "ask the acquirer for a new one, put it in the place of the old, then: systemctl reload posd",
    Role.AUTHORITY: "ask the acquirer for the new authority, add it to the file, then: systemctl reload posd",
    Role.DOOR: "make a new one, put it in the place of the old, then: systemctl reload posd",
    Role.TERMINALS: "add the new authority to the file, then: systemctl reload posd; give terminals new certificates",
}

THEN: Mapping[Role, str] = {
    Role.HOST: "no new connection to the host is made, unless it shows a newer one",
    Role.OURS: "the host will refuse every new connection",
    Role.AUTHORITY: "no new connection to the host is made",
    Role.DOOR: "terminals will refuse every new connection",
    Role.TERMINALS: "every new connection of a terminal is refused",
}


@dataclass(frozen=True, slots=True)
class WatchedCertificate:
    """One certificate at one moment; `where`: the name of its route, or its file."""

    role: Role
    where: str
    certificate: Certificate
    standing: Standing


def standing(certificate: Certificate, now_ms: int, alert_days: int) -> Standing:
    """How it stands; `alert_days` before its end it is SOON."""
    if now_ms >= certificate.ends_ms:
        return Standing.EXPIRED
    if now_ms < certificate.begins_ms:
        return Standing.EARLY
    return Standing.SOON if certificate.ends_ms - now_ms < alert_days * DAY_MS else Standing.GOOD


def certificates_view(watched: Iterable[WatchedCertificate], now_ms: int, zone: str) -> list[View]:
    """Every certificate. Times are local ISO 8601 in `zone`."""
    return [
        {
            "role": one.role.value,
            "where": one.where,
            "name": one.certificate.name,
            "begins": local(one.certificate.begins_ms, zone).isoformat(timespec="seconds"),
            "ends": local(one.certificate.ends_ms, zone).isoformat(timespec="seconds"),
            "days": (one.certificate.ends_ms - now_ms) // DAY_MS,
            "pin": one.certificate.pin.hex(),
            "standing": one.standing.value,
        }
        for one in watched
    ]


def certificate_findings(certificates: Iterable[View]) -> Iterator[View]:
    """Those that end soon, have ended, or have not begun."""
    for one in certificates:
        if one["standing"] == Standing.GOOD:
            continue
        role = Role(one["role"])
        of = ", ".join(filter(None, (one["name"], one["where"])))
        facts = {name: one[name] for name in ("role", "where", "name", "begins", "ends", "days")} | {"of": of}
        what = f"{OF[role]} ({of})"
        text = {
            Standing.SOON: f"{what} ends at {one['ends']}, in {one['days']} day(s); then {THEN[role]}",
            Standing.EXPIRED: f"{what} ended at {one['ends']}: {THEN[role]}; a line that is up goes on",
            Standing.EARLY: f"{what} begins at {one['begins']} only, or this machine's clock is wrong",
        }[Standing(one["standing"])]
        to_do = "look at this machine's clock first" if one["standing"] == Standing.EARLY else TO_DO[role]
        yield {"tid": None, **finding_of(f"certificate_{one['standing']}", ALERT, text, to_do, **facts)}
