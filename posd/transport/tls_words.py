"""Why there is no TLS, in one plain line each. Data, and one lookup; never a byte of a key or of a message.

What has no words here keeps the library's own. The shapes are known to daemon/shown/reasons.py, for another language.
"""

import ssl
from collections.abc import Mapping

UNTRUSTED = "its certificate is of no authority that is trusted here"

VERIFICATION: Mapping[int, str] = {
    2: UNTRUSTED,
    9: "its certificate is not valid yet, or this machine's clock is wrong",
    10: "its certificate has expired",
    18: "its certificate is self-signed, and not the trusted one",
    19: UNTRUSTED,
    20: UNTRUSTED,
    21: UNTRUSTED,
    23: "its certificate was revoked",
    26: "its certificate is not for this use",
    62: "its certificate does not have the name {name} among its alternative names",
    64: "its certificate does not have the address {name} among its alternative names",
    66: "its certificate has a key that is too short",
    67: "its authority's certificate has a key that is too short",
    68: "its certificate is signed with a weak digest",
}
"""X509_V_ERR_* -> what it means to whoever reads a log."""

VERSIONS = "no common version of TLS"
NOT_TLS = "what came is not TLS"

REASONS: Mapping[str, str] = {
    "UNSUPPORTED_PROTOCOL": VERSIONS,
    "WRONG_SSL_VERSION": VERSIONS,
    "TLSV1_ALERT_PROTOCOL_VERSION": VERSIONS,
    "NO_PROTOCOLS_AVAILABLE": VERSIONS,
    "WRONG_VERSION_NUMBER": NOT_TLS,
    "HTTP_REQUEST": NOT_TLS,
    "HTTPS_PROXY_REQUEST": NOT_TLS,
    "UNKNOWN_PROTOCOL": NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": NOT_TLS,
    "RECORD_LAYER_FAILURE": NOT_TLS,
    "NO_SHARED_CIPHER": "no common cipher",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake: no common cipher, or it wants a certificate of ours",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that our certificate was revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "TLSV1_ALERT_ACCESS_DENIED": "it does not let us in",
    "NO_RENEGOTIATION": "it wanted to negotiate anew, which is refused",
}
"""The library's reason -> the same for a person."""

WRONG_PIN = "its key is none of those that are pinned"


def why(error: ssl.SSLError, name: str | None) -> str:
    """What went wrong, as the rest of "no TLS with PEER: …". `name`: what its certificate had to say."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = VERIFICATION.get(error.verify_code)
        return known.format(name=name) if known else f"its certificate is not accepted: {error.verify_message}"
    reason = error.reason or "unreadable"
    return REASONS.get(reason) or reason.lower().replace("_", " ")
