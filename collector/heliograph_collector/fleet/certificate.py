"""Self-signed P-256 certificate that agents pin.

Agents trust the pin and ignore the dates, so that an agent whose clock is years off can connect.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import GeneralName

COMMON_NAME = "heliograph-collector"  # server name that agents send, whatever address they dial
_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280: no defined expiry


def make_certificate(hosts: Sequence[str], key: bytes = b"") -> bytes:
    """Return PEM of a private key, new unless `key` contains one, and its certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private_key = _load_private_key(key) if key else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    names = dict.fromkeys([COMMON_NAME, "localhost", *hosts])
    certificate = (
        x509.CertificateBuilder(name, name, private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(
            x509.SubjectAlternativeName([_build_general_name(x) for x in names]), critical=False
        )
        .sign(private_key, hashes.SHA256())
    )
    private = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def read_hosts(certificate: bytes) -> list[str]:
    """Return the names and addresses in a PEM certificate."""
    from cryptography import x509

    extension = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return [*extension.value.get_values_for_type(x509.DNSName), *map(str, addresses)]


def encode_public_key(certificate: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a PEM certificate as DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    return (
        x509.load_pem_x509_certificate(certificate)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _load_private_key(pem: bytes) -> "EllipticCurvePrivateKey":
    """Load an elliptic curve key. Raises ValueError for another kind."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def _build_general_name(host: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
