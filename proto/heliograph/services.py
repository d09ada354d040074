"""Read the versioned list of services and endpoints, shipped or from a file.

Every error names the file, the line, the key and the values allowed there.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from heliograph.plan import Endpoint, EndpointKind, Service

if TYPE_CHECKING:
    from yaml import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 1_048_576
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
TRUSTS = ("", "signal", "any")  # CA sets the agent ships; "" is the public one, "any" none at all

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_T = TypeVar("_T")


class ServicesError(ValueError):
    """Report an unusable services file; str() is a sentence with file and line."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        super().__init__(f"{source}, line {line}: {problem}" if line else f"{source}: {problem}")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Hold one version of the list; every measurement names its version."""

    version: str
    services: tuple[Service, ...]

    def get(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


def load_shipped_services() -> Services:
    """Load the version that came with this program."""
    from importlib import resources

    file = resources.files("heliograph").joinpath("services.yml")
    return parse_services(file.read_bytes(), "services.yml")


def load_services(path: Path) -> Services:
    """Load the version in a file. Raises ServicesError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ServicesError(str(path), 0, f"cannot be read: {error.strerror}") from error
    return parse_services(content, str(path))


def merge_services(base: Services, overrides: Services) -> Services:
    """Add the services of `overrides` to `base`; they replace those of the same name."""
    by_name = {service.name: service for service in (*base.services, *overrides.services)}
    return Services(version=overrides.version, services=tuple(by_name.values()))


def parse_services(content: bytes, source: str) -> Services:
    """Parse a services file. Raises ServicesError, which names `source`."""
    import yaml

    if len(content) > MAX_BYTES:
        raise ServicesError(source, 0, f"larger than {MAX_BYTES} bytes")
    try:
        root = yaml.compose(content, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ServicesError(source, line, f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ServicesError(source, 0, f"not YAML: {type(error).__name__}") from error
    if root is None:
        raise ServicesError(source, 1, "empty; it needs the keys version and services")
    return _Reader(source).read_services(root)


class _Reader:
    """Walk YAML nodes, which know their lines."""

    def __init__(self, source: str) -> None:
        self._source = source

    def read_services(self, root: "Node") -> Services:
        keys = self._read_keys(root, "the file", ("version", "services"), ())
        nodes_by_name = self._read_pairs(keys["services"], "services")
        if not 0 < len(nodes_by_name) <= MAX_SERVICES:
            raise self._error(keys["services"], f"services: from 1 to {MAX_SERVICES} are allowed")
        return Services(
            version=self._read_text(keys["version"], "version"),
            services=tuple(self._read_service(name, node) for name, node in nodes_by_name.items()),
        )

    def _read_service(self, name: str, node: "Node") -> Service:
        where = f"services.{name}"
        keys = self._read_keys(node, where, ("title", "endpoints"), ("experiment",))
        return Service(
            name=name,
            title=self._read_text(keys["title"], f"{where}.title"),
            experiment=self._read_optional(
                keys, "experiment", f"{where}.experiment", self._read_text, name
            ),
            endpoints=self._read_endpoints(keys["endpoints"], f"{where}.endpoints"),
        )

    def _read_endpoints(self, node: "Node", where: str) -> tuple[Endpoint, ...]:
        nodes = self._read_list(node, where)
        if not 0 < len(nodes) <= MAX_ENDPOINTS:
            raise self._error(node, f"{where}: from 1 to {MAX_ENDPOINTS} are allowed")
        endpoints: dict[str, Endpoint] = {}
        for index, item in enumerate(nodes):
            endpoint = self._read_endpoint(item, f"{where}[{index}]")
            if endpoint.id in endpoints:
                raise self._error(item, f"{where}[{index}].id: {endpoint.id} is taken")
            endpoints[endpoint.id] = endpoint
        return tuple(endpoints.values())

    def _read_endpoint(self, node: "Node", where: str) -> Endpoint:
        optional = ("port", "path", "method", "group", "trust")
        keys = self._read_keys(node, where, ("id", "kind", "host"), optional)
        kind = EndpointKind(self._read_choice(keys["kind"], f"{where}.kind", tuple(EndpointKind)))
        return Endpoint(
            id=self._read_text(keys["id"], f"{where}.id"),
            kind=kind,
            host=self._read_host(keys["host"], f"{where}.host"),
            port=self._read_port(keys, kind, node, where),
            path=self._read_optional(keys, "path", f"{where}.path", self._read_path, "/"),
            method=self._read_optional(keys, "method", f"{where}.method", self._read_method, "GET"),
            group=self._read_optional(keys, "group", f"{where}.group", self._read_text, ""),
            trust=self._read_optional(keys, "trust", f"{where}.trust", self._read_trust, ""),
        )

    def _read_port(
        self, keys: Mapping[str, "Node"], kind: EndpointKind, node: "Node", where: str
    ) -> int:
        usual = USUAL_PORTS
        if "port" not in keys:
            if kind in usual:
                return usual[kind]
            raise self._error(node, f"{where}.port is missing; a {kind} endpoint needs it")
        digits = self._read_text(keys["port"], f"{where}.port")
        if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536):
            raise self._error(
                keys["port"], f"{where}.port: {digits!r} is not allowed; 1 to 65535 are"
            )
        return int(digits)

    def _read_host(self, node: "Node", where: str) -> str:
        host = self._read_text(node, where).lower().rstrip(".")
        if _NAME.fullmatch(host) is None and not _is_address(host):
            raise self._error(node, f"{where}: {host!r} is neither a host name nor an address")
        return host

    def _read_method(self, node: "Node", where: str) -> str:
        return self._read_choice(node, where, METHODS)

    def _read_trust(self, node: "Node", where: str) -> str:
        return self._read_choice(node, where, TRUSTS)

    def _read_path(self, node: "Node", where: str) -> str:
        path = self._read_text(node, where)
        if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
            raise self._error(node, f"{where}: {path!r} must begin with / and have no blanks")
        return path

    def _read_choice(self, node: "Node", where: str, allowed: tuple[str, ...]) -> str:
        value = self._read_text(node, where, empty="" in allowed)
        if value not in allowed:
            choices = ", ".join(str(choice) or '""' for choice in allowed)
            raise self._error(node, f"{where}: {value!r} is not allowed; {choices} are")
        return value

    def _read_text(self, node: "Node", where: str, *, empty: bool = False) -> str:
        import yaml

        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, f"{where}: must be a single value")
        value = str(node.value)
        if not (value or empty) or len(value) > MAX_TEXT:
            raise self._error(node, f"{where}: must have 1 to {MAX_TEXT} characters")
        if any(ord(character) < 32 for character in value):
            raise self._error(node, f"{where}: must have no control characters")
        return value

    @staticmethod
    def _read_optional(
        keys: Mapping[str, "Node"],
        key: str,
        where: str,
        read: Callable[["Node", str], _T],
        default: _T,
    ) -> _T:
        return read(keys[key], where) if key in keys else default

    def _read_keys(
        self, node: "Node", where: str, needed: tuple[str, ...], optional: tuple[str, ...]
    ) -> Mapping[str, "Node"]:
        pairs = self._read_pairs(node, where)
        allowed = ", ".join(needed + optional)
        for key, value in pairs.items():
            if key not in needed + optional:
                raise self._error(value, f"{where}: unknown key {key}; allowed are {allowed}")
        for key in needed:
            if key not in pairs:
                raise self._error(node, f"{where}: the key {key} is missing")
        return pairs

    def _read_pairs(self, node: "Node", where: str) -> Mapping[str, "Node"]:
        import yaml

        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"{where}: must be a mapping of keys to values")
        mapping: MappingNode = node
        pairs: dict[str, Node] = {}
        for key, value in mapping.value:
            name = self._read_text(key, f"a key of {where}")
            if name in pairs:
                raise self._error(key, f"{where}: the key {name} stands twice")
            pairs[name] = value
        return pairs

    def _read_list(self, node: "Node", where: str) -> "list[Node]":
        import yaml

        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"{where}: must be a list")
        sequence: SequenceNode = node
        return list(sequence.value)

    def _error(self, node: "Node | ScalarNode", problem: str) -> ServicesError:
        mark = node.start_mark
        return ServicesError(self._source, mark.line + 1 if mark else 0, problem)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
