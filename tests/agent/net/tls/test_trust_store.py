"""Trust sets: the public one, the shipped ones, and a file of the user's."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from heliograph_agent.net.tls.trust_store import TrustStore, shipped_sets
from support.loopback_ca import LoopbackCA


def test_signals_authorities_are_both_that_its_clients_trust() -> None:
    anchors = TrustStore().load_roots("signal").anchors
    digests = {hashlib.sha256(a.public_bytes(Encoding.DER)).hexdigest() for a in anchors}
    assert digests == {
        "ddb0f92bb95c8d6fd202ea6e8cc5ccd182b544f8cd696f47d580659ddc9df65a",  # RSA, 2022
        "2642f1f90b389fed2558d7324ca26d70e750b06f87c595c5de955e2560821657",  # Ed25519, 2026
    }
    assert shipped_sets() == ("signal",)


def test_public_set_and_additions(ca: LoopbackCA) -> None:
    public = len(TrustStore().load_roots("").anchors)
    assert public > 100
    assert len(TrustStore(str(ca.ca_file)).load_roots("").anchors) == public + 1
    assert len(TrustStore(str(ca.ca_file)).load_roots("signal").anchors) == 3


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
