"""Settings of the network layer: resolvers, trust anchors and timeouts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfig:
    """Configure resolvers, files and timeouts; timeouts are in seconds."""

    resolver: str = ""  # host:port, replaces the servers of resolv.conf
    doh: tuple[str, ...] = ("https://cloudflare-dns.com/dns-query", "https://dns.google/dns-query")
    ca_file: str = ""  # PEM; added to every trust set
    # DER by service, as the signed list has them: they count in place of those shipped
    roots: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    connect_s: float = 10
    tls_s: float = 10
    http_s: float = 10  # until the end of the reply's headers
    body_s: float = 20
    dns_s: float = 5  # for one server
    resolve_s: float = 15  # for a whole lookup
    exchange_s: float = 10  # one message over a connection, and its reply
    udp_s: float = 5  # one datagram and its reply
    quic_s: float = 10  # one QUIC handshake
    hop_s: float = 3  # one packet with a limited TTL and its reply
    tor_s: float = 100  # a bootstrap; a task has 180, and a censored bootstrap would take minutes
    local_targets: bool = True  # whether tests may contact private and own networks
    hosts_file: str = "/etc/hosts"
    resolv_conf: str = "/etc/resolv.conf"
