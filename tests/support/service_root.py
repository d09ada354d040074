"""The root of a service's own authority, and servers' certificates under it.

Roots made here have one subject, as Signal's two have: only their keys differ.
"""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from support.loopback_ca import Leaf

OWN = x509.Name.from_rfc4514_string("CN=Own Messenger,O=Own Messenger\\, LLC")
BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
END = datetime(2052, 1, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM


class ServiceRoot:
    """`certificate` is what a list of services brings."""

    def __init__(self, *, is_ed25519: bool = False) -> None:
        self._key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = (
            ed25519.Ed25519PrivateKey.generate()
            if is_ed25519
            else ec.generate_private_key(ec.SECP256R1())
        )
        self.certificate = self._issue(None, ())

    def write_leaf(self, directory: Path, *hosts: str) -> Leaf:
        """Write a leaf for names and addresses to files named by its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        leaf = Leaf(directory / f"{serial:x}.pem", directory / f"{serial:x}.key")
        leaf.chain.write_bytes(self._issue(key, hosts, serial).public_bytes(PEM))
        unsealed = serialization.NoEncryption()
        leaf.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, unsealed))
        return leaf

    def _issue(
        self, key: ec.EllipticCurvePrivateKey | None, hosts: tuple[str, ...], serial: int = 1
    ) -> x509.Certificate:
        """Issue a server's certificate; without a key, the authority's own."""
        subject = x509.Name.from_rfc4514_string(f"CN={hosts[0]}") if hosts else OWN
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(OWN)
            .public_key((key or self._key).public_key())
            .serial_number(serial)
            .not_valid_before(BEGIN)
            .not_valid_after(END)
            .add_extension(x509.BasicConstraints(ca=key is None, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName(list(map(_general_name, hosts)))
            builder = builder.add_extension(names, critical=False)
        is_ed25519 = isinstance(self._key, ed25519.Ed25519PrivateKey)
        return builder.sign(self._key, None if is_ed25519 else hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
