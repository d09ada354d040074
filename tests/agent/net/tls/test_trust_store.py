"""Trust sets: the public one, the shipped ones, and a file of the user's."""

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from heliograph_agent.net.tls.trust_store import TrustStore
from support.loopback_ca import LoopbackCA


def test_signals_authorities_are_both_that_its_clients_trust() -> None:
    anchors = TrustStore().load_roots("signal").anchors
    digests = {hashlib.sha256(a.public_bytes(Encoding.DER)).hexdigest() for a in anchors}
    assert digests == {
        "ddb0f92bb95c8d6fd202ea6e8cc5ccd182b544f8cd696f47d580659ddc9df65a",  # RSA, 2022
        "2642f1f90b389fed2558d7324ca26d70e750b06f87c595c5de955e2560821657",  # Ed25519, 2026
    }


def test_public_set_and_additions(ca: LoopbackCA) -> None:
    public = len(TrustStore().load_roots("").anchors)
    assert public > 100
    assert len(TrustStore(str(ca.ca_file)).load_roots("").anchors) == public + 1
    assert len(TrustStore(str(ca.ca_file)).load_roots("signal").anchors) == 3


def test_roots_of_the_signed_list_count_in_place_of_the_shipped(ca: LoopbackCA) -> None:
    der = ssl.PEM_cert_to_DER_cert(ca.ca_file.read_text())
    store = TrustStore(listed={"signal": (der,), "other": (der,), "none": (), "any": (der,)})
    for name in ("signal", "other"):
        assert [a.public_bytes(Encoding.DER) for a in store.load_roots(name).anchors] == [der]
    assert len(TrustStore(listed={"signal": ()}).load_roots("signal").anchors) == 2
    assert store.select_roots("any") is None
    assert [name for name in ("", "any", "signal", "other", "none") if store.has_set(name)] == [
        "", "any", "signal", "other",
    ]  # fmt: skip


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"named '\.\./signal'; the sets are: signal"):
        TrustStore().load_roots("../signal")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----",
    ],
)  # fmt: skip
def test_file_without_certificates_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"ca\.pem: holds no PEM certificate"):
        TrustStore(str(file)).load_roots("")


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.pem: cannot be read"):
        TrustStore(str(tmp_path / "none.pem")).load_roots("")
