"""HPKE: the RFC's own figures, and what `cryptography` opens."""

import pytest
from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from heliograph_agent.protocols import hpke

SECRET = bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
PUBLIC = bytes.fromhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")


def test_the_figures_of_rfc_9180_appendix_a_1_1() -> None:
    sender = hpke.make_sealing_context(PUBLIC, INFO, hpke.AES_128_GCM, SECRET)
    assert sender.enc.hex() == "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
    assert sender.key.hex() == "4531685d41d65f03dc48f6b8302c05b0"
    assert sender.nonce.hex() == "56d890e5accaaf011cff4b7d"
    sealed = sender.seal(b"Beauty is truth, truth beauty", b"Count-0")
    assert sealed.hex() == (
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )


@pytest.mark.parametrize(
    ("number", "aead"),
    [
        (hpke.AES_128_GCM, library.AEAD.AES_128_GCM),
        (hpke.CHACHA20_POLY1305, library.AEAD.CHACHA20_POLY1305),
    ],
)
def test_the_library_opens_what_is_sealed(number: int, aead: library.AEAD) -> None:
    key = X25519PrivateKey.generate()
    sender = hpke.make_sealing_context(key.public_key().public_bytes_raw(), b"info", number, SECRET)
    suite = library.Suite(library.KEM.X25519, library.KDF.HKDF_SHA256, aead)
    assert suite.decrypt(sender.enc + sender.seal(b"hello", b""), key, b"info") == b"hello"


@pytest.mark.parametrize(("public", "number"), [(PUBLIC, 0x0002), (b"short", hpke.AES_128_GCM)])
def test_what_cannot_be_sealed_to_is_refused(public: bytes, number: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        hpke.make_sealing_context(public, INFO, number, SECRET)


def test_expand_makes_more_than_one_block() -> None:
    """RFC 5869 test case 1."""
    made = hpke.hkdf_expand(
        hpke.hkdf_extract(bytes(range(13)), b"\x0b" * 22), bytes(range(0xF0, 0xFA)), 42
    )
    assert made.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
