"""A certificate authority for loopback servers, and the leaves it signs."""

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate chain and key, as PEM files."""

    chain: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


class LoopbackCA:
    """A CA whose `ca_file` is for `net.ca_file`; the agent trusts no other CA."""

    def __init__(self, directory: Path, organization: str = "Heliograph loopback tests") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._root = trustme.CA(organization_name=organization)
        self._issued = 0
        self.ca_file = directory / "ca.pem"
        self._root.cert_pem.write_to_path(self.ca_file)

    def leaf(
        self,
        *names: str,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        common_name: str | None = None,
    ) -> Leaf:
        issued = self._root.issue_cert(
            *names, common_name=common_name, not_before=not_before, not_after=not_after
        )
        return self._write(issued)

    def expired(self, *names: str) -> Leaf:
        """Issue a certificate valid for the whole of 2020."""
        return self.leaf(*names, not_before=_year(2020), not_after=_year(2021))

    def not_yet(self, *names: str) -> Leaf:
        """Issue a certificate valid from 2090 on."""
        return self.leaf(*names, not_before=_year(2090), not_after=_year(2091))

    def rsa(self, *names: str) -> Leaf:
        """Issue a certificate with an RSA key, which RSA key exchange needs."""
        return self._write(self._root.issue_cert(*names, key_type=trustme.KeyType.RSA))

    def through_intermediate(self, *names: str) -> Leaf:
        """Issue a leaf under an intermediate that the server sends too."""
        return self._write(self._root.create_child_ca().issue_cert(*names))

    def _write(self, issued: trustme.LeafCert) -> Leaf:
        self._issued += 1
        leaf = Leaf(
            self._directory / f"leaf{self._issued}.pem", self._directory / f"leaf{self._issued}.key"
        )
        for index, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(leaf.chain, append=index > 0)
        issued.private_key_pem.write_to_path(leaf.key)
        return leaf


def _year(year: int) -> dt.datetime:
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC)
