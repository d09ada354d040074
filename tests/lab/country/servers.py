"""Resolvers and web servers, abroad and domestic, under the real names.

Names of the shipped list of services are served by nginx with certificates of the lab's CA, each at
a separate address, so that blocking one is not blocking all. Pure, but for the files it writes.
"""

import ipaddress
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from heliograph.plan import Endpoint, EndpointKind, Service
from heliograph.services import load_shipped_services
from lab.country.topology import (
    ABROAD_SIX,
    BEACON_ZONE,
    COLLECTOR,
    CONTROL,
    DOH,
    DOMESTIC_DNS,
    DOMESTIC_WEB,
    ECHO,
    RESOLVER,
    Network,
    Topology,
)
from support.field.servers import nginx_conf
from support.loopback_ca import Leaf, LoopbackCA

DOH_NAMES = ("cloudflare-dns.com", "dns.google")
DOH_ADDRESS = "1.1.1.1"  # that Signal's apps ask by address, without a lookup
PUBLIC_RESOLVERS = ("9.9.9.10", "8.8.8.8", DOH_ADDRESS)
TESTED = ("telegram", "whatsapp", "signal")
WEBSOCKETS = ("127.0.0.1", 8101)  # of the stand-ins, behind nginx
DOT_PORT = 853
IN_TLS = frozenset({EndpointKind.HTTPS, EndpointKind.TLS, EndpointKind.WEBSOCKET})
TTL_S = 5  # so that a lie of the resolver is met within seconds
PATIENCE_MS = 1_000  # of resolvers with each other, on a busy machine


@dataclass(frozen=True)
class Abroad:
    """Every name and the address it has."""

    services: tuple[Service, ...]
    names: Mapping[str, str]
    literals: tuple[str, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        own = (RESOLVER, COLLECTOR, CONTROL, ECHO, *PUBLIC_RESOLVERS)
        return tuple(dict.fromkeys((*own, *self.names.values(), *self.literals)))

    def addresses_of(self, *names: str) -> tuple[str, ...]:
        return tuple(self.names[name] for name in names)

    def of_service(self, service: str, group: str = "") -> tuple[str, ...]:
        """Return the addresses of a service, or of one group of its endpoints."""
        endpoints = next(s.endpoints for s in self.services if s.name == service)
        hosts = [e.host for e in endpoints if not group or e.group == group]
        return tuple(dict.fromkeys(self.names.get(host, host) for host in hosts))

    def names_of(self, service: str) -> tuple[str, ...]:
        endpoints = next(s.endpoints for s in self.services if s.name == service)
        return tuple(dict.fromkeys(e.host for e in endpoints if not _literal(e.host)))


def abroad(country: Topology, tested: Iterable[str] = TESTED) -> Abroad:
    known = load_shipped_services()
    services = tuple(s for name in tested if (s := known.get(name)) is not None)
    services = (_anchors(country), *services)
    hosts = [e.host for s in services for e in s.endpoints]
    names = dict.fromkeys((*country.abroad_names, *(h for h in hosts if not _literal(h))))
    addresses = itertools.chain(f"45.91.{a}.{b}" for a in range(200) for b in range(1, 250))
    named = {name: next(addresses) for name in names if not name.endswith(".kz")}
    named |= {country.collector_name: COLLECTOR, **dict.fromkeys(DOH_NAMES, DOH)}
    literals = tuple(dict.fromkeys(h for h in hosts if _literal(h)))
    return Abroad(services, named, literals)


def services_yaml(known: Abroad) -> str:
    """Return the file that `plan.services_file` names."""
    body = {
        s.name: {
            "title": s.title,
            "experiment": s.experiment,
            "endpoints": [_as_yaml(e) for e in s.list_planned_endpoints()],
        }
        for s in known.services
    }
    return yaml.safe_dump({"version": "lab", "services": body}, sort_keys=False)


def spoken(known: Abroad) -> dict[str, list[tuple[str, int]]]:
    """Return endpoints by the stand-in that answers there; nginx has the rest."""
    every = [(known.names.get(e.host, e.host), e) for s in known.services for e in s.endpoints]
    centres = {address for address, e in every if e.kind is EndpointKind.MTPROTO}
    found: defaultdict[str, dict[tuple[str, int], None]] = defaultdict(dict)
    for address, e in every:
        place = (address, e.port)
        if address in centres:
            found["telegram"][place] = None
        elif e.kind is EndpointKind.NOISE:
            found["whatsapp"][place] = None
        elif _only_taken(e):
            found["anything"][place] = None
    found["websocket"][WEBSOCKETS] = None
    return {what: list(places) for what, places in found.items()}


def _only_taken(endpoint: Endpoint) -> bool:
    """Return whether an endpoint only needs connections and is no web server."""
    webs = not _literal(endpoint.host) and endpoint.port in (80, 443)
    return endpoint.kind is EndpointKind.TCP and endpoint.host != RESOLVER and not webs


def resolver_conf(known: Abroad, folder: Path, ca: LoopbackCA) -> str:
    """Write the open resolver abroad, also at addresses of public ones, and by TLS."""
    zone = "".join(f'  local-data: "{n}. {TTL_S} IN A {a}"\n' for n, a in known.names.items())
    six = f'  local-data: "www.wikipedia.org. {TTL_S} IN AAAA {ABROAD_SIX}"\n'
    addresses = (RESOLVER, *PUBLIC_RESOLVERS)
    interfaces = "".join(f"  interface: {a}\n  interface: {a}@{DOT_PORT}\n" for a in addresses)
    leaf = ca.leaf(*addresses)
    interfaces += f"  tls-port: {DOT_PORT}\n  tls-service-pem: {leaf.chain}\n"
    interfaces += f"  tls-service-key: {leaf.key}\n"
    words = f'  local-zone: "{BEACON_ZONE}." transparent\n'  # delegated to the collector
    stub = f'stub-zone:\n  name: "{BEACON_ZONE}."\n  stub-addr: {COLLECTOR}\n'
    own = f'  local-zone: "." static\n{zone}{six}{words}'
    return _unbound(folder, "abroad", interfaces, own, stub)


def domestic_conf(country: Topology, folder: Path) -> str:
    web = f"{TTL_S} IN A {DOMESTIC_WEB}"
    zone = "".join(f'  local-data: "{name}. {web}"\n' for name in country.domestic_names)
    interface = f"  interface: {DOMESTIC_DNS}\n"
    return _unbound(folder, "domestic", interface, f'  local-zone: "." static\n{zone}')


def provider_conf(network: Network, folder: Path) -> str:
    """Write a provider's resolver: domestic names inside, all others from abroad."""
    forwards = f"""forward-zone:
  name: "kz."
  forward-addr: {DOMESTIC_DNS}
forward-zone:
  name: "."
  forward-addr: {RESOLVER}
"""
    interface = f"  interface: {network.resolver}\n"
    return _unbound(folder, network.name, interface, "", forwards)


def _unbound(folder: Path, name: str, interfaces: str, zone: str, forwards: str = "") -> str:
    return f"""server:
{interfaces}  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{folder}/{name}.unbound.log"
  do-daemonize: no
  module-config: "iterator"
  num-threads: 1
  cache-max-negative-ttl: 2
  infra-host-ttl: 2
  infra-cache-min-rtt: {PATIENCE_MS}
  infra-cache-max-rtt: {4 * PATIENCE_MS}
  discard-timeout: {8 * PATIENCE_MS}
  serve-expired: no
{zone}remote-control:
  control-enable: yes
  control-interface: {folder}/{name}.control
{forwards}"""


def web_conf(known: Abroad, ca: LoopbackCA, folder: Path) -> str:
    """Write one nginx for everything abroad."""
    return nginx("web", folder, "".join((*_sites(known, ca), *_literal_sites(known, ca))))


def domestic_web_conf(country: Topology, ca: LoopbackCA, folder: Path) -> str:
    leaf = ca.leaf(*country.domestic_names)
    site = _site(" ".join(country.domestic_names), DOMESTIC_WEB, leaf.chain, leaf.key)
    return nginx("domestic", folder, site)


def _sites(known: Abroad, ca: LoopbackCA) -> Iterator[str]:
    """Yield the sites by name, each with a certificate of its name."""
    others = {COLLECTOR, DOH, *(address for address, _ in spoken(known).get("whatsapp", ()))}
    for name, address in known.names.items():
        if address in others:  # no web servers
            continue
        leaf = ca.leaf(name)
        six = ABROAD_SIX if name == "www.wikipedia.org" else ""
        yield _site(name, address, leaf.chain, leaf.key, six)


def _literal_sites(known: Abroad, ca: LoopbackCA) -> Iterator[str]:
    """Yield sites with an address and no name, by HTTP, TLS or both."""
    kinds = (EndpointKind.HTTP, *IN_TLS)
    others = {place for places in spoken(known).values() for place in places}
    ports = {
        (e.host, e.port, e.kind in IN_TLS)
        for s in known.services
        for e in s.endpoints
        if e.kind in kinds and e.host in known.literals and (e.host, e.port) not in others
    }
    leaf = ca.leaf(*{host for host, _, _ in ports}) if ports else None
    for address, port, tls in sorted(ports):
        certificate = (
            f"ssl_certificate {leaf.chain}; ssl_certificate_key {leaf.key};" if tls and leaf else ""
        )
        yield (
            f"  server {{ listen {_host(address)}:{port}{' ssl' if tls else ''}; {certificate}"
            " location / { return 404; } }\n"
        )


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _site(names: str, address: str, chain: Path, key: Path, six: str = "") -> str:
    more = f"listen [{six}]:80; listen [{six}]:443 ssl;" if six else ""
    return f"""  server {{
    listen {address}:80; listen {address}:443 ssl; {more}
    server_name {names};
    ssl_certificate {chain}; ssl_certificate_key {key};
    error_page 418 = @websocket;
    location @websocket {{
      proxy_pass http://{WEBSOCKETS[0]}:{WEBSOCKETS[1]};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "Upgrade";
    }}
    location / {{
      default_type text/html;
      if ($http_upgrade = websocket) {{ return 418; }}
      return 200 "<html><head><title>The page of {names}</title></head><body>Hello</body></html>";
    }}
    location = /generate_204 {{ return 204; }}
    location = /large {{ alias {chain.parent.parent}/large.bin; }}
  }}
"""


def nginx(name: str, folder: Path, servers: str) -> str:
    return nginx_conf(name, folder, f"  http2 on;\n{servers}")


def with_leaf(conf: str, leaf: Leaf, names: Iterable[str]) -> str:
    """Give another certificate to the sites of these names."""
    for name in names:
        old = rf"(server_name {re.escape(name)};)\s+ssl_certificate \S+ ssl_certificate_key \S+"
        new = rf"\1\n    ssl_certificate {leaf.chain}; ssl_certificate_key {leaf.key};"
        conf, changed = re.subn(old, new, conf)
        assert changed == 1, name
    return conf


def nginx_command(folder: Path, name: str) -> list[str]:
    """Return the command for NAME.nginx, as written by `nginx`."""
    return ["/usr/sbin/nginx", "-c", f"{folder}/{name}.nginx", "-e", f"{folder}/{name}.errors.log"]


def _anchors(country: Topology) -> Service:
    """Return our anchors in the lab: abroad by name and address, domestic, a portal's.

    Three hosts abroad, as an isolation needs, where the country has a name for the third.
    """
    of = "connectivity"
    name, home = country.abroad_names[3], country.domestic_names[0]
    made = (
        ("resolver-a", EndpointKind.DNS, name, 53, "/", "resolver"),
        ("captive-a", EndpointKind.HTTP, name, 80, "/generate_204", "captive"),
        ("foreign-a", EndpointKind.HTTPS, name, 443, "/generate_204", "foreign"),
        *(
            ("foreign-b", EndpointKind.HTTPS, other, 443, "/generate_204", "foreign")
            for other in country.abroad_names[4:5]
        ),
        ("foreign-address", EndpointKind.TCP, RESOLVER, 53, "/", "foreign"),
        ("domestic-a", EndpointKind.HTTPS, home, 443, "/generate_204", "domestic"),
    )
    endpoints = tuple(
        Endpoint(id=i, kind=k, host=h, port=p, path=path, group=g) for i, k, h, p, path, g in made
    )
    return Service(name="anchors", title="Anchors", experiment=of, endpoints=endpoints)


def _as_yaml(endpoint: Endpoint) -> dict[str, object]:
    fields = ("host", "port", "path", "method", "group", "trust")
    values = {name: getattr(endpoint, name) for name in fields}
    given = {name: value for name, value in values.items() if value}
    return {"id": endpoint.id, "kind": str(endpoint.kind), **given}


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
