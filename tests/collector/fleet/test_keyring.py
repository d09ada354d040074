"""Keys on disk are made once, as a whole, readable by the owner alone."""

import hashlib
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography import x509

from heliograph_collector.fleet import open_keyring
from heliograph_collector.fleet.certificate import encode_public_key, read_hosts
from heliograph_collector.fleet.keyring import ensure_password_file

KEY_FILES = ["log.key", "sealing.key", "secret.key", "signing.key", "tls.pem"]


def list_key_files(data: Path) -> list[str]:
    return sorted(file.name for file in (data / "keys").iterdir())


def test_new_host_enters_certificate_and_pin_stays(tmp_path: Path) -> None:
    """A new host enters the certificate, and the pin stays.

    Agents can send that name, and no other, in their ClientHello.
    """
    before = open_keyring(tmp_path, [])
    after = open_keyring(tmp_path, ["collector.example", "192.0.2.1"])
    assert after.pin == before.pin
    assert open_keyring(tmp_path, []).tls == after.tls
    assert {"collector.example", "192.0.2.1"} <= set(read_hosts(after.tls_certificate))
    assert list_key_files(tmp_path) == KEY_FILES


def test_key_files_are_private(tmp_path: Path) -> None:
    open_keyring(tmp_path, [])
    ensure_password_file(tmp_path)
    keys = tmp_path / "keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    files = list(keys.iterdir())
    assert len(files) == 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_keys_are_made_once_by_concurrent_first_opens(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: open_keyring(tmp_path, []), range(16)))
    kinds = [(ring.tls, ring.secret, ring.signing.public, ring.sealing.public) for ring in made]
    assert len(set(kinds)) == 1
    assert list_key_files(tmp_path) == KEY_FILES


def test_certificate_names_hosts_and_carries_pin(tmp_path: Path) -> None:
    keyring = open_keyring(tmp_path, ["collector.example", "192.0.2.1"])
    certificate = x509.load_pem_x509_certificate(keyring.tls_certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    assert hosts == ["heliograph-collector", "localhost", "collector.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]
    assert keyring.pin == hashlib.sha256(encode_public_key(keyring.tls_certificate)).digest()
    ssl.create_default_context(cadata=keyring.tls_certificate.decode())


def test_password_is_fresh_and_stays(tmp_path: Path) -> None:
    text = ensure_password_file(tmp_path).read_text()
    assert len(text.strip()) >= 20
    assert ensure_password_file(tmp_path).read_text() == text
    assert ensure_password_file(tmp_path / "other").read_text() != text
