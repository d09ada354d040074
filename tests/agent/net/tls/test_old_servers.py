"""Old servers that browsers open and a strict TLS library does not.

`openssl s_server` and `gnutls-serv` stand for old servers of states and banks. Each opens, or gets
the word for "we cannot speak to it", and the judge calls none of them blocked.
"""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from heliograph.failure import Failure
from heliograph_collector.model.records import VerdictState
from support.loopback_ca import Leaf, LoopbackCA
from support.net_fixtures import Opening
from support.process import server_process
from support.real_run import really, verdict

HOST = "127.0.0.1"
DEADLINE_S = 300.0
OPTIONS = {"resolver": "", "doh": ""}
Command = Callable[[Sequence[int]], Sequence[str]]


def openssl(*options: str) -> Callable[[Leaf], Command]:
    return lambda leaf: lambda ports: (
        "openssl", "s_server", "-www", "-accept", f"{HOST}:{ports[0]}", "-cert", str(leaf.chain),
        "-key", str(leaf.key), *options,
    )  # fmt: skip


def old_openssl(ciphers: str, *options: str) -> Callable[[Leaf], Command]:
    return openssl("-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0", *options)


def gnutls(priority: str) -> Callable[[Leaf], Command]:
    return lambda leaf: lambda ports: (
        "gnutls-serv", "--http", "--quiet", "--port", str(ports[0]), "--priority", priority,
        "--x509certfile", str(leaf.chain), "--x509keyfile", str(leaf.key),
    )  # fmt: skip


OPEN, UNSUPPORTED = VerdictState.REACHABLE, VerdictState.UNKNOWN
SERVERS = {
    "static RSA": (old_openssl("AES128-GCM-SHA256"), None),
    "ECDHE, CBC and SHA-1": (old_openssl("ECDHE-RSA-AES128-SHA"), None),
    "signs with SHA-1 alone": (old_openssl("DEFAULT", "-sigalgs", "RSA+SHA1"), None),
    "without RFC 5746": (gnutls("NORMAL:-VERS-TLS1.3:%DISABLE_SAFE_RENEGOTIATION"), None),
    "one unusual group": (openssl("-groups", "P-521"), None),
    # As in every browser of today:
    "TLS 1.1": (openssl("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"), Failure.SSL_UNSUPPORTED),
    "finite fields alone": (old_openssl("DHE-RSA-AES128-SHA"), Failure.SSL_FAILED_HANDSHAKE),
    "3DES alone": (
        gnutls("NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+3DES-CBC"),
        Failure.SSL_FAILED_HANDSHAKE,
    ),
}


@pytest.mark.parametrize("case", SERVERS)
async def test_a_server_opens_or_we_say_that_we_cannot_speak_to_it(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, case: str
) -> None:
    make_command, failure = SERVERS[case]
    with server_process(make_command(ca.rsa(HOST)), 1, tmp_path / "log") as (port,):
        net = opening(local_targets=True, connect_s=DEADLINE_S, tls_s=DEADLINE_S, http_s=DEADLINE_S)
        seen = await really("web", f"https://{HOST}:{port}/", net, OPTIONS)
    failures = [o.failure for o in seen.observations if o.tls]
    assert failures == [failure]
    assert verdict(seen, seen).state is (UNSUPPORTED if failure else OPEN)


def sign_by_sha1(folder: Path) -> tuple[Leaf, Path]:
    """A server's certificate as of before 2016, and the authority that signed it.

    By openssl, as the package cryptography signs with SHA-1 no longer.
    """
    leaf, authority = Leaf(folder / "leaf.pem", folder / "leaf.key"), folder / "authority.pem"
    key, request, names = folder / "authority.key", folder / "request.pem", folder / "names"
    names.write_text(f"subjectAltName=IP:{HOST}\n")
    new_key = "-newkey rsa:2048 -nodes -keyout"
    signers = f"-CA {authority} -CAkey {key}"
    for command in (
        f"req -x509 {new_key} {key} -out {authority} -subj /CN=Old -days 3000",
        f"req {new_key} {leaf.key} -out {request} -subj /CN={HOST}",
        f"x509 -req -sha1 -in {request} {signers} -out {leaf.chain} -days 3000 -extfile {names}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    return leaf, authority


async def test_a_signature_by_sha1_is_no_forgery(opening: Opening, tmp_path: Path) -> None:
    """A signature by SHA-1 is no forgery.

    Browsers refuse it too; under an unknown authority it stays a foreign certificate.
    """
    leaf, authority = sign_by_sha1(tmp_path)
    with server_process(openssl()(leaf), 1, tmp_path / "log") as (port,):
        url = f"https://{HOST}:{port}/"
        limits = {"local_targets": True, "connect_s": DEADLINE_S, "tls_s": DEADLINE_S}
        known = await really("web", url, opening(ca_file=str(authority), **limits), OPTIONS)
        unknown = await really("web", url, opening(**limits), OPTIONS)
    failures = [o.failure for m in (known, unknown) for o in m.observations if o.tls]
    assert failures == [Failure.SSL_UNSUPPORTED, Failure.SSL_UNKNOWN_AUTHORITY]
    for here, control in ((known, known), (known, unknown)):
        assert verdict(here, control).state is VerdictState.UNKNOWN
