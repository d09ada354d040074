"""Debian's real unbound on loopback, with our zones and no upstream.

    with unbound(tmp_path, {"example.test": "www 300 IN A 127.0.0.1"}) as resolver:
        config = NetConfig(resolver=resolver.address)

Names outside the zones are NXDOMAIN. Beside the zones stand `refused.test` (REFUSED),
`dropped.test` (no reply at all) and `servfail.test` (SERVFAIL: its zone's server is dead).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.ports import HOST
from support.process import server_process

_PROGRAM = "/usr/sbin/unbound"


@dataclass(frozen=True, slots=True)
class Unbound:
    port: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@contextmanager
def unbound(directory: Path, zones: Mapping[str, str]) -> Iterator[Unbound]:
    """Run unbound with `zones`: name without final dot → records in zone-file form.

    Names in the records are relative to the zone.
    """
    home = directory / "unbound"
    home.mkdir(parents=True, exist_ok=True)
    for name, records in zones.items():
        (home / f"{name}.zone").write_text(_zone(name, records))

    def command(ports: Sequence[int]) -> Sequence[str]:
        config = home / "unbound.conf"
        config.write_text(_config(home, zones, ports[0]))
        return (_PROGRAM, "-d", "-c", str(config))

    with server_process(command, 1, home / "log") as (port,):
        yield Unbound(port)


def _zone(name: str, records: str) -> str:
    return (
        f"$ORIGIN {name}.\n$TTL 300\n"
        f"@ IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 300\n@ IN NS ns.{name}.\n"
        f"ns IN A 127.0.0.1\n{records}\n"
    )


def _config(home: Path, zones: Mapping[str, str], port: int) -> str:
    served = "".join(
        f'auth-zone:\n  name: "{name}."\n  zonefile: "{home}/{name}.zone"\n'
        "  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no\n"
        for name in zones
    )
    passed = "".join(f'  local-zone: "{name}." transparent\n' for name in zones)
    return f"""server:
  interface: {HOST}@{port}
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  verbosity: 0
  num-threads: 1
  so-reuseport: no
  do-ip6: no
  module-config: "iterator"
  local-zone: "." static
  local-zone: "refused.test." refuse
  local-zone: "dropped.test." deny
  local-zone: "servfail.test." transparent
{passed}remote-control:
  control-enable: no
forward-zone:
  name: "servfail.test."
  forward-addr: 127.0.0.1@1
{served}"""
