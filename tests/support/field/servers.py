"""Write configurations of the field's real servers, nginx and unbound. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from support.field.places import (
    ANCHOR,
    ANCHOR_NAME,
    DOMESTIC,
    DOMESTIC_NAME,
    LENIENT,
    NEUTRAL,
    NEUTRAL_NAME,
    PROVIDER,
    PUBLIC,
    REFUSING,
    RESOLVER,
)
from support.field.setup import Certificates, Row
from support.loopback_ca import Leaf, LoopbackCA

LARGE = 300_000  # bytes of the file /large


def resolver_conf(rows: Sequence[Row], certificates: Certificates, folder: Path) -> str:
    """Write the resolver with the true names; others do not exist."""
    lines = [f'  local-data: "{ANCHOR_NAME}. 60 IN A {ANCHOR}"\n']
    lines.append(f'  local-data: "{NEUTRAL_NAME}. 60 IN A {NEUTRAL}"\n')
    lines.append(f'  local-data: "{DOMESTIC_NAME}. 60 IN A {DOMESTIC}"\n')
    for row in (row for row in rows if not (row.said.get("fails") or row.is_signed)):
        for name, addresses in row.names.items():
            for address in addresses:
                kind = "AAAA" if ":" in address else "A"
                lines.append(f'  local-data: "{name}. 60 IN {kind} {address}"\n')
    failing = [row.host for row in rows if row.said.get("fails")]
    lines += [f'  local-zone: "{host}." transparent\n' for host in failing]
    more = [address for row in rows for address in row.said.get("dns_at", ())]
    actions = {**dict.fromkeys((RESOLVER, PUBLIC, *more), "allow"), REFUSING: "refuse"}
    access = "".join(f"  interface-action: {a} {action}\n" for a, action in actions.items())
    leaf = certificates.good.leaf(PUBLIC, *more)
    sealed = [f"{address}@853" for address in (PUBLIC, *more)]
    access += "".join(f"  interface-action: {one} allow\n" for one in sealed)
    access += f"  tls-service-pem: {leaf.chain}\n  tls-service-key: {leaf.key}\n"
    zone = f'{access}  local-zone: "." static\n{"".join(lines)}'
    zone += "".join(row.signed(folder).write_server("abroad") for row in rows if row.is_signed)
    forwards = "".join(map(_failing, failing)) + _signed_clauses(rows, folder)
    return _unbound(folder, "abroad", (*actions, *sealed), zone, forwards)


def lenient_conf(rows: Sequence[Row], folder: Path) -> str:
    """Write a resolver abroad without validation, for controls of signed zones."""
    zone = "  access-control: 0.0.0.0/0 allow\n"
    zone += "".join(row.signed(folder).write_server("") for row in rows if row.is_signed)
    forward = f'forward-zone:\n  name: "."\n  forward-addr: {RESOLVER}\n'
    return _unbound(folder, "lenient", (LENIENT,), zone, _signed_clauses(rows, folder) + forward)


def provider_conf(rows: Sequence[Row], folder: Path) -> str:
    """Write a provider's resolver: it lies by the rows, and asks abroad for the rest."""
    zone = "  access-control: 0.0.0.0/0 allow\n"
    zone += "".join(line for row in rows for line in row.zones())
    forward = f'forward-zone:\n  name: "."\n  forward-addr: {RESOLVER}\n'
    failing = "".join(_failing(row.host) for row in rows if row.said.get("resolver_fails"))
    zone += "".join(row.signed(folder).write_server("provider") for row in rows if row.is_signed)
    forwards = failing + _signed_clauses(rows, folder) + forward
    return _unbound(folder, "provider", (PROVIDER,), zone, forwards)


def _signed_clauses(rows: Sequence[Row], folder: Path) -> str:
    return "".join(row.signed(folder).write_clause() for row in rows if row.is_signed)


def _failing(name: str) -> str:
    """Let all servers of a name refuse, which gives SERVFAIL at once."""
    return f'forward-zone:\n  name: "{name}."\n  forward-addr: {REFUSING}\n'


def _unbound(
    folder: Path, name: str, addresses: Iterable[str], zone: str, forwards: str = ""
) -> str:
    interfaces = "".join(f"  interface: {address}\n" for address in addresses)
    return f"""server:
{interfaces}  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{folder}/{name}.unbound.log"
  do-daemonize: no
  module-config: "validator iterator"
  num-threads: 1
  do-not-query-localhost: no
{zone}remote-control:
  control-enable: no
{forwards}"""


def web_conf(rows: Iterable[Row], certificates: Certificates, folder: Path) -> str:
    """Write one nginx for all ordinary sites abroad, each with its certificate."""
    (folder / "large").write_bytes(bytes(LARGE))
    sites = "".join(_sites(rows, certificates, folder))
    anchors = _site(f"{ANCHOR}:80 {ANCHOR}:443", ANCHOR_NAME, certificates, "good", folder)
    neutral = _site(f"{NEUTRAL}:80 {NEUTRAL}:443", NEUTRAL_NAME, certificates, "good", folder)
    return nginx_conf("web", folder, sites + anchors + neutral)


def domestic_conf(certificates: Certificates, folder: Path) -> str:
    listens = f"{DOMESTIC}:80 {DOMESTIC}:443"
    return nginx_conf(
        "domestic", folder, _site(listens, DOMESTIC_NAME, certificates, "good", folder)
    )


def _sites(rows: Iterable[Row], certificates: Certificates, folder: Path) -> Iterator[str]:
    for row in rows:
        kind = row.said.get("site", "good")
        taken = row.taken()
        for name, addresses in row.names.items():
            free = [(a, p) for a in addresses for p in (80, 443) if (a, p) not in taken]
            ours = [(a, p) for a, p in free if a.startswith(("45.91.", "45.92.", "2a0d:"))]
            listens = " ".join(f"[{a}]:{p}" if ":" in a else f"{a}:{p}" for a, p in ours)
            if kind != "none" and listens:
                rate = row.said.get("rate", 0)
                yield _site(listens, name, certificates, kind, folder, rate)


def _site(
    listens: str, name: str, certificates: Certificates, kind: str, folder: Path, rate: int = 0
) -> str:
    leaf = certificates.of(kind, name)
    lines = "".join(
        f"    listen {one}{' ssl' if one.endswith(':443') else ''};\n" for one in listens.split()
    )
    return f"""  server {{
{lines}    server_name {name};
    ssl_certificate {leaf.chain}; ssl_certificate_key {leaf.key};
    location / {{
      default_type text/html;
      return 200 "<html><head><title>The page of {name}</title></head><body>Hello</body></html>";
    }}
    location = /generate_204 {{ return 204; }}
    location = /large {{ alias {folder}/large; limit_rate {rate}k; }}
  }}
"""


def nginx_conf(name: str, folder: Path, servers: str) -> str:
    return f"""daemon off;
master_process off;
user root;
worker_rlimit_nofile 4096;
pid {folder}/{name}.nginx.pid;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  server_names_hash_bucket_size 128;
  client_body_temp_path {folder}/{name}.temp;
{servers}}}
"""


def coturn(addresses: Iterable[str], folder: Path, port: int = 3478) -> list[str]:
    listens = (word for address in addresses for word in ("-L", address))
    return [
        "/usr/bin/turnserver", "-n", "-p", str(port), "--log-file", "stdout", "--stun-only",
        "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780", "--no-tcp", "--relay-threads", "1",
        "--userdb", f"{folder}/stun-{port}.db", "--pidfile", f"{folder}/stun-{port}.pid", *listens,
    ]  # fmt: skip


def openvpn(transport: str, ca: LoopbackCA, leaf: Leaf, *where: str) -> list[str]:
    """Return the command of a VPN server at port 1194, over udp or tcp-server.

    The options `where` name its addresses.
    """
    network = {"udp": "10.200.0.0", "tcp-server": "10.201.0.0"}[transport]
    return [
        "/usr/sbin/openvpn", "--mode", "server", "--dev", f"vpn{transport[:3]}",
        "--dev-type", "tun", "--topology", "subnet", "--server", network, "255.255.0.0",
        *where, "--port", "1194", "--proto", transport, "--dh", "none",
        "--ca", str(ca.ca_file), "--cert", str(leaf.chain), "--key", str(leaf.key),
        "--duplicate-cn",
    ]  # fmt: skip
