"""A private authority with the certificates of a host and of a client, made when a test runs."""

import ipaddress
import ssl
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


@dataclass(frozen=True)
class Pki:
    """PEM files in `folder`: ca, host.pem and host.key (127.0.0.1, localhost), client.pem and client.key."""

    folder: Path

    @classmethod
    @cache
    def shared(cls) -> "Pki":
        """One for the whole run."""
        return cls(Path(tempfile.mkdtemp(prefix="pki-"))).make()

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def file(self, name: str) -> Path:
        return self.folder / name

    def make(self, days: int = 30) -> "Pki":
        """Write everything; negative `days`: the certificates have expired."""
        self.folder.mkdir(exist_ok=True)
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _certificate("A private authority", ca_key.public_key(), None, ca_key, 30, True)
        self.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        for name in ("host", "client"):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(name, key.public_key(), ca.subject, ca_key, days, False)
            self.file(f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            self._write_key(name, key)
        return self

    def _write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        path = self.file(f"{name}.key")
        path.touch(mode=0o600)
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.write_bytes(key.private_bytes(*pem))

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
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
    authority: bool,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(signer, hashes.SHA256())
