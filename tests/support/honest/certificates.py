"""Certificate chains as in OONI documents: DER in base64 (ooni/spec, df-006)."""

import base64
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.honest.case import HONEST, Chain

_KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())  # nothing is secret here


@cache
def encode_chain(chain: Chain, host: str) -> tuple[dict[str, str], ...]:
    """Return the chain, leaf first, as `peer_certificates`."""
    ders = _read_chain(chain.file) if chain.file else (_make_leaf(chain, host),)
    return tuple({"data": base64.b64encode(der).decode(), "format": "base64"} for der in ders)


def _read_chain(name: str) -> tuple[bytes, ...]:
    certificates = x509.load_pem_x509_certificates((HONEST / "chains" / name).read_bytes())
    return tuple(one.public_bytes(serialization.Encoding.DER) for one in certificates)


def _make_leaf(chain: Chain, host: str) -> bytes:
    owner = chain.subject or host
    common_name = x509.NameAttribute(x509.NameOID.COMMON_NAME, owner[:64])
    alternative_names = x509.SubjectAlternativeName([x509.DNSName(owner)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([common_name]))
        .issuer_name(x509.Name.from_rfc4514_string(chain.issuer))
        .public_key(_KEY.public_key())
        .serial_number(4_711)
        .not_valid_before(_parse_day(chain.since))
        .not_valid_after(_parse_day(chain.until))
        .add_extension(alternative_names, critical=False)
    )
    leaf = builder.sign(_KEY, hashes.SHA256())
    return leaf.public_bytes(serialization.Encoding.DER)


def _parse_day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
