"""What a certificate says: whose it is, from when to when, and the digest of its key. For those who watch it or pin it.

It verifies nothing: that is TLS's own work. It holds public facts only; a key of ours is never read here.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from posd.errors import ConfigError

PIN_BYTES = hashlib.sha256().digest_size
CERTIFICATE_FILE_BYTES_MAX = 1_048_576
"""More than the authorities of a whole system need."""
NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Wall times in milliseconds since 1970 UTC.

    `names`: its common name and its DNS names. `pin`: SHA-256 of its public key (SubjectPublicKeyInfo, DER).
    """

    name: str
    begins_ms: int
    ends_ms: int
    names: frozenset[str]
    pin: bytes


def certificate_of(der: bytes) -> Certificate:
    """What these bytes say. Raises ValueError for what is no certificate, or has a key of an unknown kind."""
    from cryptography import x509  # who uses no TLS does not pay for it
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return _read(x509.load_der_x509_certificate(der))
    except UnsupportedAlgorithm:
        raise ValueError("a key of an unknown kind") from None


def certificates_in(path: Path) -> tuple[Certificate, ...]:
    """Every certificate of a PEM file. Raises ConfigError, one line that names the file."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with path.open("rb") as file:
            text = file.read(CERTIFICATE_FILE_BYTES_MAX + 1)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{path}: {why}; give the PEM file of the certificate") from None
    if len(text) > CERTIFICATE_FILE_BYTES_MAX:
        raise ConfigError(f"{path}: longer than {CERTIFICATE_FILE_BYTES_MAX} bytes; give a file of certificates")
    try:
        return tuple(_read(one) for one in x509.load_pem_x509_certificates(text))
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: holds no certificates that posd can read; it must be a PEM file") from None


def first_to_end(certificates: Iterable[Certificate]) -> Certificate | None:
    """With it the whole chain is refused."""
    return min(certificates, key=lambda one: one.ends_ms, default=None)


def _read(certificate: "object") -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert isinstance(certificate, x509.Certificate)
    common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        dns = []
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        name=_shown((*common, *dns, "without a name")[0]),
        begins_ms=round(certificate.not_valid_before_utc.timestamp() * 1000),
        ends_ms=round(certificate.not_valid_after_utc.timestamp() * 1000),
        names=frozenset((*common, *dns)),
        pin=hashlib.sha256(key).digest(),
    )


def _shown(name: str) -> str:
    """On one line, and not for ever."""
    return "".join(one if one.isprintable() else "?" for one in name[:NAME_CHARACTERS_MAX]) or "without a name"
