"""Name the servers that a visit of a single target may contact, and its redirects.

Collector and control derive both from the signed plan alone, each for itself. So an order names a
label, and the control refuses a label that its own plan does not give.

A page may also redirect. A control visits the page after the redirect only under a name of the
plan: the target's own host, with or without `www.`, or the host of another page of the plan; only
by https, at port 443 and path `/`. Wherever else a site redirects its visitors, no control goes
there for it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from heliograph.address import parse_literal
from heliograph.host_name import encode_host
from heliograph.plan import PlannedTask

PAGES = "web"  # the experiment that follows redirects
WWW = "www."
_PORTS = {"http": 80, "https": 443, "tls": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedServer:
    """One server of a single target, by the label of its steps."""

    label: str  # "" for the target itself
    host: str
    port: int
    protocol: str  # tcp, udp


def list_servers(
    experiment: str, target: str, options: Mapping[str, str]
) -> tuple[NamedServer, ...]:
    """List the servers that a visit may name; those that are addresses are left out.

    Every run of a control contacts an address that the plan itself gives.

    Args:
        options: Those of the plan's line; the experiment's defaults fill in the others.
    """
    from heliograph.experiments import entry_of  # loaded here: an idle agent needs no registry

    entry = entry_of(experiment)
    if entry is None or not entry.visitable:
        return ()
    servers: list[NamedServer] = []
    for server in entry.visit_servers:
        default = getattr(entry.config(), server.option) if server.option else ""
        parts = _split(options.get(server.option, default) if server.option else target)
        host = _find_host(parts)
        port = _find_port(parts, experiment, server.port)
        if host and port and not parse_literal(host):
            named = NamedServer(label=server.label, host=host, port=port, protocol=server.protocol)
            servers.append(named)
    return tuple(servers)


def list_page_hosts(tasks: Iterable[PlannedTask]) -> frozenset[str]:
    """List the hosts of the plan's pages, to which a redirect may lead."""
    pages = (_split(task.target) for task in tasks if task.experiment == PAGES)
    return frozenset(map(_find_host, pages)) - {""}


def make_redirect_label(host: str) -> str:
    """Return the label of a redirect's page: the address of the host's front page."""
    return f"https://{host.lower().rstrip('.')}/"


def find_redirect_host(label: str, target: str, page_hosts: Collection[str]) -> str:
    """Return the host of a redirect that a visit of this target may follow, else ""."""
    parts = _split(label)
    own = _split(target)
    host = _find_host(parts)
    own_host = _find_host(own)
    is_plain = label == make_redirect_label(host) and not parse_literal(host)
    is_own = bool(own_host) and host.removeprefix(WWW) == own_host.removeprefix(WWW)
    return host if is_plain and (is_own or host in page_hosts) else ""


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        _ = parts.port
    except ValueError:
        return None
    return parts


def _find_host(parts: SplitResult | None) -> str:
    """Return the host as it is queried, "" without one."""
    host = (parts.hostname or "") if parts else ""
    return encode_host(unquote(host)) or host


def _find_port(parts: SplitResult | None, experiment: str, default: int) -> int:
    if parts is None:
        return 0
    return parts.port or default or _PORTS.get(parts.scheme or experiment, 0)
