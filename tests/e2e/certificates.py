"""A throwaway certificate authority, and what it issues: to the servers `tidegate` and 127.0.0.1, or to workloads."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    ca: Path
    cert: Path
    key: Path


class Authority:
    """Issues certificates that chain to one CA."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._ca = _build("ca", self._key.public_key()).add_extension(basic, True).sign(self._key, hashes.SHA256())

    def issue(self, directory: Path, *uris: str) -> Certificates:
        """A certificate in `directory`: of a workload with these URI SANs, or of a server where there are none."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        if not uris:
            names = [x509.DNSName("tidegate"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        leaf = _build("tidegate", key.public_key()).add_extension(x509.SubjectAlternativeName(names), False)
        directory.mkdir(parents=True, exist_ok=True)
        files = Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
        files.ca.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))
        files.cert.write_bytes(leaf.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
        return files


def make_certificates(directory: Path, *uris: str) -> Certificates:
    """A certificate of an authority of its own."""
    return Authority().issue(directory, *uris)


def _build(name: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
