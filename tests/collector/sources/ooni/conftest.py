"""Certificates as OONI's rows carry them."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from support.ooni import Json


def shown(subject: str, issuer: str) -> Json:
    """Return a leaf for `subject`, signed in the name of `issuer`."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateBuilder(
        subject_name=x509.Name.from_rfc4514_string(subject),
        issuer_name=x509.Name.from_rfc4514_string(issuer),
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=datetime(2024, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2025, 1, 1, tzinfo=UTC),
    ).sign(key, hashes.SHA256())
    data = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
    return {"format": "base64", "data": data}


@pytest.fixture
def signal_root() -> Json:
    return shown("CN=chat.signal.org", "CN=Signal Messenger,O=Signal Messenger\\, LLC")


@pytest.fixture
def national_root() -> Json:
    return shown("CN=www.example.com", "CN=Qaznet Trust Network,C=KZ")
