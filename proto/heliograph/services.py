"""Read the versioned list of services and endpoints, shipped or from a file.

Every error names the file, the line, the key and the values allowed there.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from heliograph.address import parse_literal
from heliograph.host_name import encode_host
from heliograph.plan import (
    MAX_ALPN,
    MAX_BUILT_IN,
    MAX_ROOT_BYTES,
    MAX_ROOTS,
    MAX_STAGE_S,
    MAX_STAGES,
    ConnectStage,
    Endpoint,
    EndpointKind,
    FunctionGroups,
    Service,
    ServiceFunction,
)
from heliograph.yaml_document import YamlEntry, parse_yaml, read_yaml

MAX_SERVICES = 64
MAX_ENDPOINTS = 128  # of one service: 4 observations for each make the 512 of a measurement
MAX_TEXT = 253  # the longest host name

USUAL_PORTS = {
    EndpointKind.HTTP: 80,
    EndpointKind.HTTPS: 443,
    EndpointKind.DNS: 53,
    EndpointKind.WEBSOCKET: 443,
    EndpointKind.STUN: 3478,
    EndpointKind.QUIC: 443,
}
METHODS = ("GET", "HEAD", "POST")
# Trusts that each list may name, beside its services with roots: the public roots, none, and the
# service of the shipped list whose roots every agent has.
TRUSTS = ("", "signal", "any")

_FILE_KEYS = ("version", "services")
_SERVICE_KEYS = ("title", "endpoints", "experiment", "functions", "stages", "roots")
_STAGE_KEYS = ("try", "seconds", "if_unresolved")
_ENDPOINT_KEYS = (
    *("id", "kind", "host", "port", "path", "method", "group", "trust"),
    *("alpn", "addresses", "resolver"),
)
_ALPN = ("h2", "http/1.1")  # the protocols that a handshake may offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Hold one version of the list; every measurement names its version."""

    version: str
    services: tuple[Service, ...]

    @property
    def titles(self) -> dict[str, str]:
        """Return the title of each service by its name."""
        return {service.name: service.title for service in self.services}

    def get(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


@cache
def load_shipped_services() -> Services:
    """Load the version that came with this program, once: to parse it takes 0.15 s."""
    from importlib import resources

    file = resources.files("heliograph").joinpath("services.yml")
    return parse_services(file.read_bytes(), "services.yml")


def load_services(path: Path | None) -> Services:
    """Load the version in a file, without one the shipped version. Raises YamlError."""
    return load_shipped_services() if path is None else _parse_document(read_yaml(path))


def merge_services(base: Services, overrides: Services) -> Services:
    """Add the services of `overrides` to `base`; they replace those of the same name."""
    by_name = {service.name: service for service in (*base.services, *overrides.services)}
    return Services(version=overrides.version, services=tuple(by_name.values()))


def parse_services(content: bytes, source: str) -> Services:
    """Parse a services file. Raises YamlError, which names `source`."""
    return _parse_document(parse_yaml(content, source))


def _parse_document(root: YamlEntry) -> Services:
    keys = root.mapping(_FILE_KEYS, required=_FILE_KEYS)
    services = keys["services"].mapping()
    if not 0 < len(services) <= MAX_SERVICES:
        raise keys["services"].error(f"from 1 to {MAX_SERVICES} are allowed")
    rooted = (name for name, entry in services.items() if "roots" in entry.mapping())
    trusts = tuple(dict.fromkeys((*TRUSTS, *rooted)))
    return Services(
        version=_parse_text(keys["version"]),
        services=tuple(_parse_service(name, entry, trusts) for name, entry in services.items()),
    )


def _parse_service(name: str, entry: YamlEntry, trusts: tuple[str, ...]) -> Service:
    keys = entry.mapping(_SERVICE_KEYS, required=("title", "endpoints"))
    items = keys["endpoints"].items()
    if not 0 < len(items) <= MAX_ENDPOINTS:
        raise keys["endpoints"].error(f"from 1 to {MAX_ENDPOINTS} are allowed")
    endpoints: dict[str, Endpoint] = {}
    for item in items:
        endpoint = _parse_endpoint(item, trusts)
        if endpoint.id in endpoints:
            raise item.error(f"the id {endpoint.id} is taken")
        endpoints[endpoint.id] = endpoint
    return Service(
        name=_check_text(name, entry),
        title=_parse_text(keys["title"]),
        experiment=_parse_text(keys["experiment"]) if "experiment" in keys else name,
        endpoints=tuple(endpoints.values()),
        functions=_parse_functions(keys["functions"], {e.group for e in endpoints.values()})
        if "functions" in keys
        else (),
        stages=_parse_stages(keys["stages"], tuple(endpoints)) if "stages" in keys else (),
        roots=_parse_roots(keys["roots"], name) if "roots" in keys else (),
    )


def _parse_roots(entry: YamlEntry, service: str) -> tuple[bytes, ...]:
    items = entry.items()
    if not 0 < len(items) <= MAX_ROOTS or service in ("", "any"):
        raise entry.error(f"from 1 to {MAX_ROOTS} are allowed, and none for the service 'any'")
    return tuple(map(_parse_root, items))


def _parse_root(entry: YamlEntry) -> bytes:
    """Decode one certificate in PEM; what decodes it is loaded for files alone."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    try:
        der = load_pem_x509_certificate(entry.parse_text().encode()).public_bytes(Encoding.DER)
    except ValueError as error:
        raise entry.error("is no certificate in PEM") from error
    if len(der) > MAX_ROOT_BYTES:
        raise entry.error(f"a certificate has at most {MAX_ROOT_BYTES} bytes")
    return der


def _parse_stages(entry: YamlEntry, ids: tuple[str, ...]) -> tuple[ConnectStage, ...]:
    items = entry.items()
    if len(items) > MAX_STAGES:
        raise entry.error(f"at most {MAX_STAGES} are allowed")
    return tuple(_parse_stage(item, ids) for item in items)


def _parse_stage(entry: YamlEntry, ids: tuple[str, ...]) -> ConnectStage:
    keys = entry.mapping(_STAGE_KEYS, required=("try", "seconds"))
    condition = keys.get("if_unresolved")
    return ConnectStage(
        endpoints=tuple(item.parse_choice(ids) for item in keys["try"].items()),
        seconds=keys["seconds"].parse_integer(1, MAX_STAGE_S),
        if_unresolved=condition is not None and condition.parse_flag(),
    )


def _parse_functions(
    entry: YamlEntry, known_groups: AbstractSet[str]
) -> tuple[FunctionGroups, ...]:
    functions: list[FunctionGroups] = []
    taken: set[str] = set()
    for name, items in entry.mapping(tuple(ServiceFunction)).items():
        groups = tuple(item.parse_choice(sorted(known_groups - taken)) for item in items.items())
        taken.update(groups)
        functions.append(FunctionGroups(function=ServiceFunction(name), groups=groups))
    return tuple(functions)


def _parse_endpoint(entry: YamlEntry, trusts: tuple[str, ...]) -> Endpoint:
    keys = entry.mapping(_ENDPOINT_KEYS, required=("id", "kind", "host"))
    kind = EndpointKind(keys["kind"].parse_choice(tuple(EndpointKind)))
    return Endpoint(
        id=_parse_text(keys["id"]),
        kind=kind,
        host=_parse_host(keys["host"]),
        port=_parse_port(keys, kind, entry),
        path=_parse_path(keys["path"]) if "path" in keys else "/",
        method=keys["method"].parse_choice(METHODS) if "method" in keys else "GET",
        group=_parse_text(keys["group"]) if "group" in keys else "",
        trust=keys["trust"].parse_choice(trusts) if "trust" in keys else "",
        alpn=_parse_alpn(keys["alpn"], kind) if "alpn" in keys else (),
        addresses=_parse_addresses(keys["addresses"]) if "addresses" in keys else (),
        resolver=_parse_resolver(keys["resolver"]) if "resolver" in keys else "",
    )


def _parse_alpn(entry: YamlEntry, kind: EndpointKind) -> tuple[str, ...]:
    items = entry.items()
    if kind is not EndpointKind.TLS or len(items) > MAX_ALPN:
        raise entry.error(f"only a tls endpoint chooses protocols, at most {MAX_ALPN}")
    return tuple(item.parse_choice(_ALPN) for item in items)


def _parse_addresses(entry: YamlEntry) -> tuple[str, ...]:
    items = entry.items()
    literals = tuple(_parse_text(item) for item in items)
    if len(items) > MAX_BUILT_IN or not all(map(parse_literal, literals)):
        raise entry.error(f"at most {MAX_BUILT_IN} addresses are allowed, and no names")
    return literals


def _parse_resolver(entry: YamlEntry) -> str:
    url = _parse_text(entry)
    if not url.startswith("https://"):
        raise entry.error(f"{url!r} is no https URL of a DoH resolver")
    return url


def _parse_port(keys: Mapping[str, YamlEntry], kind: EndpointKind, entry: YamlEntry) -> int:
    if "port" in keys:
        return keys["port"].parse_integer(1, 65_535)
    if kind not in USUAL_PORTS:
        raise entry.error(f"the key port is missing, which a {kind} endpoint needs")
    return USUAL_PORTS[kind]


def _parse_host(entry: YamlEntry) -> str:
    text = _parse_text(entry)
    host = None if "[" in text else encode_host(text)
    if host is None:
        raise entry.error(f"{text!r} is neither a host name nor an address")
    return host


def _parse_path(entry: YamlEntry) -> str:
    path = _parse_text(entry)
    if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
        raise entry.error(f"{path!r} must begin with / and have no blanks")
    return path


def _parse_text(entry: YamlEntry) -> str:
    return _check_text(entry.parse_text(), entry)


def _check_text(value: str, entry: YamlEntry) -> str:
    if not 0 < len(value) <= MAX_TEXT:
        raise entry.error(f"must have 1 to {MAX_TEXT} characters")
    if any(ord(character) < 32 for character in value):
        raise entry.error("must have no control characters")
    return value
