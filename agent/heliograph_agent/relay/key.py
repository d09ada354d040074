"""Make and load the relay's own key and certificate."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

from heliograph.clock import Clock
from heliograph_agent.state import RELAY_KEY, State, StateError

_YEARS = timedelta(days=3_650)


def load_relay_pem(state: State, clock: Clock) -> bytes:
    """Load the private key and certificate, or make them. Raises StateError."""
    pem = state.read(RELAY_KEY)
    if pem is None:
        pem = _make_pem(datetime.fromtimestamp(clock.wall_us() / 1e6, UTC))
        state.write(RELAY_KEY, pem)
    return pem


def compute_pin(pem: bytes) -> str:
    """Compute the SHA-256 of the SubjectPublicKeyInfo, in hex. Raises StateError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise StateError(
            f"{RELAY_KEY} in the state directory is damaged: remove it, and give out the new "
            "line of `heliograph-agent relay`."
        ) from error
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def make_tls_context(state: State, clock: Clock) -> ssl.SSLContext:
    """Make the server context for TLS 1.3 and any server name. Raises StateError."""
    pem = load_relay_pem(state, clock)
    compute_pin(pem)
    tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls_context.minimum_version = ssl.TLSVersion.TLSv1_3
    tls_context.num_tickets = 0
    tls_context.set_alpn_protocols(["http/1.1"])
    try:
        tls_context.load_cert_chain(state.path(RELAY_KEY))
    except (OSError, ssl.SSLError) as error:
        raise StateError(f"{state.path(RELAY_KEY)} cannot be used: remove it.") from error
    return tls_context


def _make_pem(now: datetime) -> bytes:
    """Make a key and an anonymous certificate, of which only the key is checked."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)
