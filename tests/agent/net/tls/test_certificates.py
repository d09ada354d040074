"""Chains: how they hold, which fault wins, and that hostile ones cost little."""

import datetime as dt
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure
from heliograph_agent.net.tls.certificates import describe_certificate, find_fault
from heliograph_agent.net.tls.trust_store import Roots

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOW_S = int(NOW.timestamp())
DAY = dt.timedelta(days=1)


class Party:
    """A key, a name and a certificate of our making."""

    def __init__(
        self,
        name: str,
        issuer: "Party | None" = None,
        *,
        ca: bool = True,
        path_length: int | None = None,
        names: tuple[str, ...] = (),
        usage: x509.ObjectIdentifier | None = None,
        ends: dt.datetime = NOW + DAY,
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
            builder = builder.add_extension(alternative, critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())
        self.der = self.certificate.public_bytes(Encoding.DER)


ROOT = Party("root")
MIDDLE = Party("middle", ROOT)
LEAF = Party("leaf", MIDDLE, ca=False, names=("www.example.test", "*.wild.test"))
ROOTS = Roots((ROOT.certificate,))


def judge(*chain: Party, name: str = "www.example.test") -> Failure | None:
    return find_fault([party.der for party in chain], ROOTS, name, NOW_S)


def test_chain_in_any_order_with_or_without_its_root() -> None:
    stranger = Party("stranger")
    assert judge(LEAF, MIDDLE) is None
    assert judge(LEAF, stranger, ROOT, MIDDLE) is None


def test_missing_intermediate_is_an_unknown_authority() -> None:
    assert judge(LEAF) is Failure.SSL_UNKNOWN_AUTHORITY


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("WWW.EXAMPLE.TEST.", None),
        ("a.wild.test", None),
        ("wild.test", Failure.SSL_INVALID_HOSTNAME),
        ("a.b.wild.test", Failure.SSL_INVALID_HOSTNAME),
        ("example.test", Failure.SSL_INVALID_HOSTNAME),
        ("192.0.2.1", Failure.SSL_INVALID_HOSTNAME),
    ],
)
def test_names(name: str, failure: Failure | None) -> None:
    assert judge(LEAF, MIDDLE, name=name) is failure


def test_names_that_do_not_fit() -> None:
    bare = Party("www.example.test", ROOT, ca=False)
    assert judge(bare) is Failure.SSL_INVALID_HOSTNAME, "a common name is no name"
    wide = Party("leaf", ROOT, ca=False, names=("*.test",))
    assert judge(wide, name="www.test") is Failure.SSL_INVALID_HOSTNAME, "too wide a wildcard"


SHORT = Party("short", ROOT, path_length=0)


@pytest.mark.parametrize(
    "signers",
    [
        [Party("own", ROOT, ca=False, names=("own.test",))],
        [Party("below", SHORT), SHORT],
        [Party("root")],
    ],
    ids=["a leaf", "beyond the path length", "a forger with the root's name"],
)
def test_signer_that_may_not_sign(signers: list[Party]) -> None:
    leaf = Party("leaf", signers[0], ca=False, names=("www.example.test",))
    assert judge(leaf, *signers) is Failure.SSL_UNKNOWN_AUTHORITY


def test_expired_intermediate_and_wrong_purpose() -> None:
    stale = Party("stale", ROOT, ends=NOW - DAY)
    leaf = Party("leaf", stale, ca=False, names=("www.example.test",))
    assert judge(leaf, stale) is Failure.SSL_INVALID_CERTIFICATE
    client = Party(
        "client", ROOT, ca=False, names=("www.example.test",),
        usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    )  # fmt: skip
    assert judge(client) is Failure.SSL_INVALID_CERTIFICATE


def test_anchor_itself_as_a_server() -> None:
    own = Party("own", ca=False, names=("www.example.test",))
    roots = Roots((own.certificate,))
    assert find_fault([own.der], roots, "www.example.test", NOW_S) is None


def test_chain_of_rings_costs_little() -> None:
    """A ring of sixteen issuers with one name costs little: the work is bounded."""
    ring = [Party("ring") for _ in range(15)]
    leaf = Party("leaf", ring[-1], ca=False, names=("www.example.test",))
    began = time.monotonic()
    assert judge(leaf, *ring) is Failure.SSL_UNKNOWN_AUTHORITY
    assert time.monotonic() - began < 10


def test_no_certificate() -> None:
    assert find_fault([], ROOTS, "x", NOW_S) is Failure.SSL_INVALID_CERTIFICATE
    assert find_fault([b"junk"], ROOTS, "x", NOW_S) is Failure.SSL_INVALID_CERTIFICATE
    assert describe_certificate(b"junk").subject == ""
    assert len(describe_certificate(b"junk").sha256) == 64


SIGNED = LEAF.der.index(LEAF.certificate.tbs_certificate_bytes)
SIGNED_END = SIGNED + len(LEAF.certificate.tbs_certificate_bytes)


@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_one_flipped_byte_never_passes_and_never_raises(at: int, flip: int) -> None:
    mangled = bytearray(LEAF.der)
    mangled[at] ^= flip
    describe_certificate(bytes(mangled))
    if not SIGNED <= at < SIGNED_END:  # the armour has spare bits that mean nothing
        find_fault([bytes(mangled), MIDDLE.der], ROOTS, "www.example.test", NOW_S)
        return
    verdict = find_fault([bytes(mangled), MIDDLE.der], ROOTS, "www.example.test", NOW_S)
    assert verdict in (Failure.SSL_INVALID_CERTIFICATE, Failure.SSL_UNKNOWN_AUTHORITY)
