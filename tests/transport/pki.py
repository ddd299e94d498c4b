"""A private authority with the certificates of a host and of a client, made when a test runs."""

import hashlib
import ipaddress
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


Span = tuple[timedelta, timedelta]
GOOD: Span = (-60 * DAY, 30 * DAY)
"""From when to when, counted from now."""
OLD: Span = (-60 * DAY, -1 * DAY)
EARLY: Span = (DAY, 30 * DAY)
PEM = serialization.Encoding.PEM
LOCAL = ("localhost", "127.0.0.1")
SELF = "itself"


@dataclass(frozen=True)
class Pki:
    """PEM files in `folder`: ca, host.pem and host.key (127.0.0.1, localhost), client.pem and client.key."""

    folder: Path

    @classmethod
    @cache
    def shared(cls) -> "Pki":
        """One for the whole run."""
        return cls(Path(tempfile.mkdtemp(prefix="pki-"))).make()

    @classmethod
    @cache
    def other(cls) -> "Pki":
        """Another authority, of which nobody knows."""
        return cls(Path(tempfile.mkdtemp(prefix="pki-"))).make()

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def file(self, name: str) -> Path:
        return self.folder / name

    def make(self, days: int = 30) -> "Pki":
        """Write everything; negative `days`: the certificates have expired."""
        self.folder.mkdir(exist_ok=True)
        self.issue("ca", "A private authority", signed_by=SELF, authority=True)
        for name in ("host", "client"):
            self.issue(name, name, (-60 * DAY, days * DAY))
        return self

    @cache  # noqa: B019  # a certificate is made once for the whole run
    def pair(self, name: str, common: str, span: Span = GOOD, sans: tuple[str, ...] = LOCAL, by: str = "ca") -> str:
        """A certificate of this name made once: NAME.pem and NAME.key."""
        self.issue(name, common, span, sans, by)
        return name

    def issue(
        self,
        name: str,
        common: str,
        span: Span = GOOD,
        sans: tuple[str, ...] = LOCAL,
        signed_by: str = "ca",
        authority: bool = False,
    ) -> None:
        """Write NAME.pem and NAME.key, signed by the authority's own key, or by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        issuer, signer = subject, key
        if signed_by != SELF:
            issuer = x509.load_pem_x509_certificate(self.file(f"{signed_by}.pem").read_bytes()).subject
            loaded = serialization.load_pem_private_key(self.file(f"{signed_by}.key").read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            signer = loaded
        certificate = _certificate(subject, key.public_key(), issuer, signer, span, sans, authority)
        self.file(f"{name}.pem").write_bytes(certificate.public_bytes(PEM))
        self._write_key(name, key)

    def pin(self, name: str) -> bytes:
        """SHA-256 of the public key, as openssl says it (not as posd does)."""
        pem = subprocess.run(
            ["openssl", "x509", "-in", self.file(f"{name}.pem"), "-pubkey", "-noout"], capture_output=True, check=True
        )
        der = ["openssl", "pkey", "-pubin", "-outform", "der"]
        return hashlib.sha256(subprocess.run(der, input=pem.stdout, capture_output=True, check=True).stdout).digest()

    def _write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        path = self.file(f"{name}.key")
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def server_context(self, *, ask: bool = False, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """The host's side; `ask`: clients need a certificate; `version`: that version of TLS and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("host.pem"), self.file("host.key"))
        if ask:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    span: Span,
    sans: tuple[str, ...],
    authority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + span[0])
        .not_valid_after(now + span[1])
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if not authority and sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, sans))), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
