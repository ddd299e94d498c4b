"""The reasons that the engine and the keys give in English, told apart: a closed set of shapes, each with a code.

A record keeps a reason as text, so that an older journal keeps saying what it said. What a shop reads in another
language, and what needs a person, hangs on the shape. A text of no known shape has no code and is shown as it is.
"""

import re
from dataclasses import dataclass

KEYS = ("keys_wrong", "mak_length", "key_block_length", "tmk_length", "held_keys", "mak_algorithm")
"""Codes of reasons that a sign-in cannot mend: the keys, or the settings about them, are not the host's."""

_SHAPES = (
    ("held_keys", r"the held keys do not open: (?P<inner>.+)"),
    ("mak_length", r"MAK: wrong check value; it fits a (?P<word>single|double)-length MAK: write host\.mak: .+"),
    ("keys_wrong", r"(?P<name>MAK|TDK|PIK): wrong check value; .+"),
    ("key_block_length", r"key block: (?P<given>\d+) bytes, the configured sign-in brings (?P<wanted>\d+); .+"),
    ("tmk_length", r"TMK: (?P<given>\d+) bytes; .+"),
    ("mak_algorithm", r"MAK: (?P<given>\d+) bytes; host\.mac_algorithm wants .+"),
    ("sign_in_failed", r"the sign-in before it failed: (?P<inner>.+)"),
    ("mac_unfit", r"the host answered (?P<code>\w*) under a MAC that does not fit"),
    ("answered_to", r"the host answered (?P<code>\w*) to an? (?P<what>settlement message|reversal|advice)"),
    ("answered", r"the host answered (?P<code>\w*)"),
    ("host_wants", r"the host wants: (?P<wants>.+)"),
    ("batch_question", r"the host's batch number tells whether the batch is closed"),
    ("batch_closed", r"a batch was closed"),
    ("clock", r"our clock and the host's differ by (?P<seconds>\d+) s"),
    ("never_signed_in", r"never signed in"),
    ("not_connected", r"not connected yet"),
    ("closed_in_frame", r"(?P<inner>.+), (?P<bytes>\d+) bytes into a frame"),
    ("closed_by_peer", r"closed by the peer"),
    ("closed_by_us", r"closed by this side"),
    ("no_connection", r"no connection to (?P<peer>\S+) within (?P<seconds>\S+) s"),
    ("no_tls", r"no TLS with (?P<peer>\S+) within (?P<seconds>\S+) s"),
    ("no_tls_because", r"no TLS with (?P<peer>\S+): (?P<inner>.+)"),
    ("tls_untrusted", r"its certificate is of no authority that is trusted here"),
    ("tls_self_signed", r"its certificate is self-signed, and not the trusted one"),
    ("tls_expired", r"its certificate has expired"),
    ("tls_early", r"its certificate is not valid yet, or this machine's clock is wrong"),
    ("tls_name", r"its certificate does not have the (?:name|address) (?P<name>\S+) among its alternative names"),
    ("tls_pin", r"its key is none of those that are pinned"),
    ("tls_version", r"no common version of TLS"),
    ("tls_none", r"what came is not TLS"),
    ("tls_wanted", r"it wants a certificate of ours|it refused the handshake: .+"),
    ("tls_ours_expired", r"it says that our certificate has expired"),
    ("tls_ours_refused", r"it does not (?:accept|know the authority of) our certificate"),
    ("tls_shown_none", r"it showed no certificate"),
    ("cannot_open", r"cannot open (?P<device>\S+): (?P<inner>.+)"),
    ("connect_failed", r"cannot connect to (?P<peer>\S+): (?P<inner>.+)"),
    ("refused", r"connection refused"),
    ("unreachable", r"no route to host|network is unreachable"),
    ("reset", r"connection reset(?: by peer)?"),
    ("timed_out", r"connection timed out"),
    ("no_device", r"no such file or directory|no such device|input/output error"),
)
_KNOWN = [(code, re.compile(shape, re.IGNORECASE)) for code, shape in _SHAPES]

CODES = tuple(code for code, _ in _SHAPES)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its code, and what varies in it."""

    code: str
    facts: dict[str, str]


def reason(text: str) -> Reason | None:
    """What kind of reason `text` is; None: of no known shape."""
    for code, shape in _KNOWN:
        if (found := shape.fullmatch(text.strip())) is not None:
            return Reason(code, {name: value for name, value in found.groupdict().items() if value is not None})
    return None


def about_keys(text: str) -> bool:
    """Whether the keys, or the settings about them, have to be mended by a person."""
    known = reason(text)
    return known is not None and known.code in KEYS
