"""The ways to the host and the lines of terminals: routes, time budgets, serial lines, certificates."""

from collections.abc import Sequence

from posd.addresses import AnyAddress, HttpAddress, SerialAddress
from posd.settings import (
    AdviceRetry,
    ReconnectSettings,
    ReversalRetry,
    Route,
    Settings,
    SettlementRetry,
    TlsSettings,
)
from posd.yamlmarks import Document, Place, Problem, shown_path

LINE_MESSAGE_BYTES = 1_024
"""A long message with field 55: what a serial line is reckoned with."""


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    return [
        *_routes(settings, document),
        *_idle_limit(settings, document),
        *_time_budget(settings, document),
        *_one_shot_budget(settings, document),
        *_lines(settings, document),
        *_ways_to_host(settings, document),
        *_length(settings, document),
        *_gaps(settings, document),
    ]


def _routes(settings: Settings, document: Document) -> list[Problem]:
    """One address, or routes with names of their own."""
    host = settings.host
    if not host.routes and host.address is None:
        return [document.problem(("host",), "neither address nor routes is given", 'write address: "10.0.0.1:5000"')]
    if host.routes and host.address is not None:
        what = f"stands beside host.address ({document.place(('host', 'address'))}), which is a route without a name"
        return [document.problem(("host", "routes"), what, "keep one of both")]
    problems, first = [], dict[str, int]()
    for number, route in enumerate(host.routes):
        before = first.setdefault(route.name, number)
        if before != number:
            where = document.place(("host", "routes", before, "name"))
            what = f"the route at {where} has the same name"
            problems.append(document.problem(("host", "routes", number, "name"), what, "give each a name of its own"))
    return problems


def _idle_limit(settings: Settings, document: Document) -> list[Problem]:
    """An idle line has to be used before the network takes it for dead; so has the proof that a route is good."""
    host, problems = settings.host, []
    if not host.idle_limit_s:
        return []
    where = document.place(("host", "idle_limit_s"))
    limit = f"host.idle_limit_s ({host.idle_limit_s:g} s, {where})"
    kept = any(one.mode == "persistent" and not isinstance(one.address, SerialAddress) for one in host.every_route())
    if kept and not 0 < host.echo_interval_s < host.idle_limit_s:
        what = f"{host.echo_interval_s:g} s is not shorter than {limit}" if host.echo_interval_s else "echoes are off"
        what = what if host.echo_interval_s else f"{what} (0), but idle lines are cut after {limit}"
        hint = f"write at most {host.idle_limit_s / 2:g}, or host.idle_limit_s: 0 if nothing cuts idle lines"
        problems.append(document.problem(("host", "echo_interval_s"), what, hint))
    if len(host.routes) > 1 and host.failover.good_for_s >= host.idle_limit_s:
        what = f"{host.failover.good_for_s:g} s is not shorter than {limit}: an idle route would be cut before"
        problems.append(document.problem(("host", "failover", "good_for_s"), what, "lower this"))
    return problems


def _time_budget(settings: Settings, document: Document) -> list[Problem]:
    host, door = settings.host, settings.door
    line_s = 2 * max((line.byte_s for line in _lines_of(door.listen)), default=0.0) * LINE_MESSAGE_BYTES
    needed_s = host.longest_connect_s + host.reply_timeout_s + line_s
    if door.terminal_timeout_s > needed_s:
        return []
    place = _says_connect(settings, host.longest_connect_s)
    connect, reply = document.place(place), document.place(("host", "reply_timeout_s"))
    what = (
        f"{door.terminal_timeout_s:g} s is not longer than {shown_path(place)} ({host.longest_connect_s:g} s, "
        f"{connect}) + host.reply_timeout_s ({host.reply_timeout_s:g} s, {reply})"
    )
    if line_s:
        what += f" + {line_s:.1f} s for question and answer on the serial line of door.listen"
    hint = f"the terminal would give up first: raise this above {needed_s:g}, or lower those"
    return [document.problem(("door", "terminal_timeout_s"), what, hint)]  # D17


def _one_shot_budget(settings: Settings, document: Document) -> list[Problem]:
    """With a connection for each message the reply limit has to hold connecting too."""
    host = settings.host
    one_shot = [route.connect_timeout_s for route in host.every_route() if route.mode == "one_shot"]
    longest_s = max(one_shot, default=0.0)
    if host.reply_timeout_s > longest_s:
        return []
    reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
    what = f"{longest_s:g} s is not shorter than {reply}"
    hint = "in mode one_shot the reply limit counts from before the connection: lower this, or raise that"
    return [document.problem(_says_connect(settings, longest_s), what, hint)]


def _says_connect(settings: Settings, seconds: float) -> Place:
    """Which setting says that an attempt to connect may take so long."""
    for number, route in enumerate(settings.host.routes):
        if route.connect_timeout_s == seconds:
            return ("host", "routes", number, "connect_timeout_s")
    return ("host", "connect_timeout_s")


def _lines(settings: Settings, document: Document) -> list[Problem]:
    """A serial line has one owner, and is given up before an answer from it is."""
    problems: list[Problem] = []
    taken = {line.device: f"door.listen ({document.place(('door', 'listen'))})" for line in _doors(settings)}
    for number, route in enumerate(settings.host.every_route()):
        at: Place = ("host",) if settings.host.address is not None else ("host", "routes", number)
        if not isinstance(route.address, SerialAddress):
            continue
        place, device = (*at, "address"), route.address.device
        if device in taken:
            what = f"is also in {taken[device]}"
            problems.append(document.problem(place, what, "a serial line has one peer: give each its own"))
        taken[device] = f"{shown_path(place)} ({document.place(place)})"
        problems += _line_of_route(settings, document, at, route, route.address)
    return problems


def _line_of_route(
    settings: Settings, document: Document, at: Place, route: Route, line: SerialAddress
) -> list[Problem]:
    host, problems = settings.host, []
    if route.mode == "one_shot":
        what = f"is one_shot, but {shown_path(at)}.address is a serial line, which is opened once"
        own = at if (*at, "mode") in document.paths() else ("host",)
        problems.append(document.problem((*own, "mode"), what, "write mode: persistent"))
    if route.bind is not None:
        problems.append(document.problem((*at, "bind"), "a serial line leaves by no network", "remove this"))
    give_up_s = line.give_up_s(LINE_MESSAGE_BYTES)
    if give_up_s >= host.reply_timeout_s:
        reply = f"host.reply_timeout_s ({host.reply_timeout_s:g} s, {document.place(('host', 'reply_timeout_s'))})"
        what = f"the line would repeat a frame for {give_up_s:.1f} s, not less than {reply}"
        hint = "a request must not be repeated after its reversal is owed: fewer retries, a shorter ack_timeout_s"
        problems.append(document.problem((*at, "address"), what, hint))  # D2
    return problems


def _doors(settings: Settings) -> list[SerialAddress]:
    return _lines_of(settings.door.listen)


def _lines_of(addresses: Sequence[AnyAddress]) -> list[SerialAddress]:
    return [address for address in addresses if isinstance(address, SerialAddress)]


def _ways_to_host(settings: Settings, document: Document) -> list[Problem]:
    """What the kind of each route's address demands and excludes."""
    problems: list[Problem] = []
    for number, route in enumerate(settings.host.every_route()):
        at: Place = ("host",) if settings.host.address is not None else ("host", "routes", number)
        for name, troubles in (("mode", _mode_trouble), ("tls", _tls_trouble)):
            place = (*_who_says(document, at, name), name)
            problems += [document.problem(place, *said) for said in troubles(route, document, at)]
    return list(dict.fromkeys(problems))  # of the host's own settings once, not once for each route


def _length(settings: Settings, document: Document) -> list[Problem]:
    """A serial line has a framing of its own, and the body of a POST has the usual length."""
    said = settings.host.nac.length
    others = [one for one in settings.host.every_route() if isinstance(one.address, SerialAddress | HttpAddress)]
    if said == "binary" or not others:
        return []
    what = f"{said} is for TCP and TLS, and {others[0].address} is neither"
    return [document.problem(("host", "nac", "length"), what, "write length: binary")]


def _who_says(document: Document, at: Place, name: str) -> Place:
    """The route itself, or the host for all of them."""
    return at if (*at, name) in document.paths() else ("host",)


def _mode_trouble(route: Route, document: Document, at: Place) -> list[tuple[str, str]]:
    if not isinstance(route.address, HttpAddress) or route.mode == "one_shot":
        return []
    where = f"{shown_path((*at, 'address'))}, {document.place((*at, 'address'))}"
    return [(f"each message over HTTPS is a request of its own ({where})", 'write "mode: one_shot"')]


def _tls_trouble(route: Route, document: Document, at: Place) -> list[tuple[str, str]]:
    tls, troubles = route.tls, []
    own = _who_says(document, at, "tls") == at
    if tls != TlsSettings() and own and not route.encrypted:
        where = f"{shown_path((*at, 'address'))} ({document.place((*at, 'address'))})"
        troubles.append((f"{where} is not encrypted", 'write it as "tls://…" or "https://…", or remove this'))
    if (tls.certificate_file is None) != (tls.key_file is None):
        missing = "key_file" if tls.certificate_file else "certificate_file"
        troubles.append(("certificate and key belong together", f"write {missing} too, or remove the other"))
    if tls.pin and not tls.verified:
        what = "a pin stands beside verify: no_anyone_may_pretend_to_be_the_host, which looks at no certificate"
        troubles.append((what, "write verify: yes, or remove the pin"))
    return troubles


def _gaps(settings: Settings, document: Document) -> list[Problem]:
    problems = []
    own: list[tuple[Place, ReconnectSettings]] = [
        (("host", "routes", number, "reconnect"), route.reconnect)
        for number, route in enumerate(settings.host.routes)
        if route.reconnect is not None
    ]
    every: list[tuple[Place, ReconnectSettings | ReversalRetry | AdviceRetry | SettlementRetry]] = [
        (("host", "reconnect"), settings.host.reconnect),
        *own,
        (("reversal", "retry"), settings.reversal.retry),
        (("advice", "retry"), settings.advice.retry),
        (("settlement", "retry"), settings.settlement.retry),
    ]
    for place, gaps in every:
        if gaps.first_s > gaps.max_s:
            longest = f"{shown_path(place)}.max_s ({gaps.max_s:g} s, {document.place((*place, 'max_s'))})"
            what = f"{gaps.first_s:g} s is longer than {longest}"
            problems.append(document.problem((*place, "first_s"), what, "gaps grow from the first to the longest"))
    return problems
