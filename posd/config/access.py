"""Who comes in where: roles on the control socket, and the JSON door for tills.

`check` refuses what contradicts itself. `unknown_names` is no reason not to start: who does not exist on this machine
has no right, and a shop must not stand still because an account was deleted.
"""

import grp
import pwd
from collections.abc import Iterator

from posd.addresses import TlsAddress
from posd.settings import PROXIED, Grantee, Settings
from posd.yamlmarks import Document, Place, Problem

ROLES = ("view", "operate", "approve", "keys")


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    found = [*_till(settings, document), *_tokens(settings)]
    return [document.problem(*one) for one in found]


def _till(settings: Settings, document: Document) -> Iterator[tuple[Place, str, str]]:
    """The JSON door is a socket file, or an address with a token; one on a network wants the shop's own words (D28)."""
    till = settings.till
    listen, beyond = ("till", "listen"), till.listen is not None and not till.listen.is_loopback
    if beyond and not till.on_network:
        hint = f'listen on 127.0.0.1, or use till.socket; or write open_to_network: "{PROXIED}", if that is so'
        yield listen, "can be reached from other machines", hint
    if till.open_to_network == PROXIED and not beyond:
        hint = "remove it; a proxy on this machine reaches 127.0.0.1"
        yield ("till", "open_to_network"), "is of use only where till.listen is no loopback address", hint
    if till.listen is not None and not till.every_token:
        yield listen, "needs a token", "write token_file: a file with 32 or more characters, mode 0600"
    if till.listen is None and till.every_token:
        hint = "remove it, or give till.listen; who may use the socket is said by its group"
        yield ("till", "token_file" if till.token_file else "tokens"), "is of use for till.listen only", hint
    if till.socket is not None and till.socket == settings.control_socket:
        yield ("till", "socket"), "is the control socket", "give it a name of its own"
    doors = [address.tcp if isinstance(address, TlsAddress) else address for address in settings.door.listen]
    if till.listen is not None and till.listen in doors:
        yield listen, "is the terminals' door", "give it a port of its own"


def _tokens(settings: Settings) -> Iterator[tuple[Place, str, str]]:
    """A token's name says in the journal who it was: each has its own, and its own file."""
    names, files = set(), set()
    for number, (name, file, _) in enumerate(settings.till.every_token, -(settings.till.token_file is not None)):
        if name in names:
            what = "is the name of token_file's" if name == "till" and number == 0 else "stands here twice"
            yield ("till", "tokens", number, "name"), what, "give each token a name of its own"
        if file in files:
            yield ("till", "tokens", number, "file"), "is the file of another token", "make one for each"
        names.add(name)
        files.add(file)


def unknown_names(settings: Settings) -> list[tuple[Place, Grantee]]:
    """Users and groups of `access` that this machine does not know."""
    return [
        (("access", role, number), one)
        for role in ROLES
        for number, one in enumerate(getattr(settings.access, role))
        if one.kind != "socket" and not _exists(one)
    ]


def problems_of_names(settings: Settings, document: Document) -> list[Problem]:
    """The same, for who writes a configuration."""
    hint = "correct it, or make it; until then nobody has the role by it"
    return [
        document.problem(place, f"there is no {one.kind} {one.name} on this machine", hint)
        for place, one in unknown_names(settings)
    ]


def id_of(one: Grantee) -> int | None:
    """The id of a user or group; None: this machine knows no such name. A number needs no account."""
    if one.number is not None:
        return one.number
    try:
        return pwd.getpwnam(one.name).pw_uid if one.kind == "user" else grp.getgrnam(one.name).gr_gid
    except KeyError:
        return None


def _exists(one: Grantee) -> bool:
    number = id_of(one)
    if number is None:
        return False
    try:
        _ = pwd.getpwuid(number) if one.kind == "user" else grp.getgrgid(number)
    except KeyError:
        return False
    return True
