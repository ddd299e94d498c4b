"""What a dialect, its keys and its terminals must agree on."""

from posd.dialects import NAC, UNIONPAY, UNIONPAY_ONLY
from posd.errors import KeyTrouble
from posd.iso8583.unionpay import PIN_BLOCK_BYTES
from posd.security.des import KEY_BYTES_SINGLE
from posd.security.keys import DES, SM4, layout_of
from posd.security.mac import ALGORITHMS
from posd.settings import (
    Settings,
)
from posd.yamlmarks import Document, Place, Problem

NO_MAC = "none"


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    return [
        *_of_the_other_dialect(settings, document),
        *_terminal_keys(settings, document),
        *_unsigned(settings, document),
        *_header_length(settings, document),
        *_keys(settings, document),
    ]


def _of_the_other_dialect(settings: Settings, document: Document) -> list[Problem]:
    """What this dialect has not is a mistake, not something to ignore."""
    host, given = settings.host, document.paths()
    wrong = sorted(UNIONPAY_ONLY) if host.profile == NAC else ["nac"]
    problems = [
        document.problem(("host", name), f"has no meaning with profile: {host.profile}", "remove it")
        for name in wrong
        if ("host", name) in given
    ]
    if host.profile == UNIONPAY and host.mac_algorithm == NO_MAC:
        what = "every UnionPay host wants a MAC"
        problems.append(document.problem(("host", "mac_algorithm"), what, "write mac_algorithm: unionpay-ecb"))
    if host.profile == NAC and host.nac.wire == "ascii" and host.mac_algorithm != NO_MAC:
        what = "the ASCII wire carries no MAC"
        problems.append(document.problem(("host", "nac", "wire"), what, "write wire: bcd, or mac_algorithm: none"))
    return problems


def _terminal_keys(settings: Settings, document: Document) -> list[Problem]:
    """A terminal signs nothing where there is no MAC."""
    host = settings.host
    if host.profile == NAC and host.mac_algorithm == NO_MAC:
        return [
            document.problem(
                ("terminals", number, "mac"), "there is no MAC with mac_algorithm: none", "write mac: none"
            )
            for number, terminal in enumerate(settings.terminals)
            if terminal.mac == "required"
        ]
    return []


def _unsigned(settings: Settings, document: Document) -> list[Problem]:
    """D28: refunds and typed numbers without a MAC come in by a line of this machine only, where somebody said so."""
    problems = []
    for number, terminal in enumerate(settings.terminals):
        place: Place = ("terminals", number, "unsigned")
        if terminal.unsigned == "refuse":
            continue
        if settings.host.profile == UNIONPAY:
            what = "is for profile: nac; a UnionPay terminal signs its requests"
            problems.append(document.problem(place, what, "remove it"))
        elif not all(address.is_local for address in settings.door.listen):
            what = f"door.listen ({document.place(('door', 'listen'))}) can be reached from other machines"
            problems.append(document.problem(place, what, "write unsigned: refuse, or listen on 127.0.0.1"))
    return problems


def _header_length(settings: Settings, document: Document) -> list[Problem]:
    host = settings.host
    if len(host.header) == 2 * host.header_bytes:
        return []
    what = (
        f"{host.header_bytes} bytes are {2 * host.header_bytes} digits, but host.header "
        f"({document.place(('host', 'header'))}) has {len(host.header)}"
    )
    return [document.problem(("host", "header_bytes"), what, "make both agree")]


def _keys(settings: Settings, document: Document) -> list[Problem]:
    """The keys that a sign-in brings must be those that the MAC wants."""
    host = settings.host
    if host.profile == NAC:
        return []
    mac, sign_in = f"host.mac_algorithm ({host.mac_algorithm})", f"host.sign_in ({host.sign_in})"
    where = document.place(("host", "sign_in"))
    try:
        layout = layout_of(host.sign_in, host.mak, host.sm4_key_block)
    except KeyTrouble as error:
        return [document.problem(("host", "mak"), str(error), "write mak: single, or sign_in: 003 or 004")]
    if host.mac_algorithm == NO_MAC:
        return []  # said elsewhere
    algorithm = ALGORITHMS[host.mac_algorithm]
    if algorithm.sm4 and layout.cipher is not SM4:
        what = f"wants SM4 keys, but {sign_in}, {where}, brings DES keys"
        return [document.problem(("host", "mac_algorithm"), what, 'write sign_in: "006", or another algorithm')]
    if layout.cipher is SM4 and not algorithm.sm4:
        what = f"brings SM4 keys, but {mac} wants DES keys"
        return [document.problem(("host", "sign_in"), what, "write mac_algorithm: sm4-ecb or sm4-cbc")]
    if host.sm4_pin_block_bytes != PIN_BLOCK_BYTES and layout.cipher is not SM4:
        what = f"is for SM4 keys, but {sign_in}, {where}, brings DES keys"
        return [document.problem(("host", "sm4_pin_block_bytes"), what, "write sm4_pin_block_bytes: 8")]
    if layout.mak_bytes not in algorithm.key_bytes:
        wanted = "double" if layout.mak_bytes == KEY_BYTES_SINGLE else "single"
        what = f"is {host.mak}, but {mac} wants a {wanted}-length MAK"
        return [document.problem(("host", "mak"), what, f"write mak: {wanted}, or another algorithm")]
    if host.track_encryption == "yes" and not (layout.has_tdk and layout.cipher is DES):
        brings = "none" if layout.cipher is DES else "SM4 keys, of which no source says how"
        what = f"wants a track key, but {sign_in}, {where}, brings {brings}"
        return [document.problem(("host", "track_encryption"), what, 'write sign_in: "004", or track_encryption: no')]
    return []
