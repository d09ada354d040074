"""A zone signed by DNSSEC, perhaps changed afterwards, for unbound to validate."""

from collections.abc import Sequence
from pathlib import Path

import dns.dnssec
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm
from dns.rdtypes.dnskeybase import Flag

OTHER_ADDRESS = "192.0.2.1"  # RFC 5737; what the signatures of a changed zone are made for
LIFETIME_S = 86_400


class SignedZone:
    """The zone's file and its key, which a validating resolver trusts."""

    def __init__(
        self,
        name: str,
        address: str,
        folder: Path,
        validated_by: Sequence[str],
        *,
        is_changed: bool,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        dnskey = dns.dnssec.make_dnskey(
            key.public_key(), Algorithm.ECDSAP256SHA256, flags=Flag.ZONE | Flag.SEP
        )
        signed_address = OTHER_ADDRESS if is_changed else address
        records = _write_records(name, signed_address)
        zone = dns.zone.from_text(records, f"{name}.", relativize=False)
        with zone.writer() as transaction:
            dns.dnssec.sign_zone(
                zone, transaction, keys=[(key, dnskey)], lifetime=LIFETIME_S, deterministic=False
            )
        self._name = name
        self._validated_by = validated_by
        self._file = folder / f"{name}.zone"
        self._file.write_text(zone.to_text().replace(f" {signed_address}\n", f" {address}\n"))
        self._dnskey = f"{name}. IN DNSKEY {dnskey.to_text()}"

    def write_server(self, resolver: str) -> str:
        """Return lines for unbound's server clause: the zone is no local one."""
        is_validated = resolver in self._validated_by
        anchor = f'  trust-anchor: "{self._dnskey}"\n' if is_validated else ""
        return f'  local-zone: "{self._name}." transparent\n{anchor}'

    def write_clause(self) -> str:
        """Return unbound's clause that reads the zone from a file, not from its servers."""
        return (
            f'auth-zone:\n  name: "{self._name}."\n  zonefile: "{self._file}"\n'
            "  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n"
        )


def _write_records(name: str, address: str) -> str:
    return (
        f"@ 60 IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 60\n@ 60 IN NS ns.{name}.\n"
        f"ns 60 IN A 192.0.2.2\n@ 60 IN A {address}\n"
    )
