"""How the door is set: where to ask, whom to trust, how long to wait."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfig:
    """Where to ask and how long to wait, in seconds."""

    resolver: str = ""  # host:port asked in place of the servers in resolv.conf
    doh: tuple[str, ...] = ("https://cloudflare-dns.com/dns-query", "https://dns.google/dns-query")
    ca_file: str = ""  # PEM; added to every trust set
    connect_s: float = 10
    tls_s: float = 10
    http_s: float = 10  # to the end of the reply's head
    body_s: float = 20
    dns_s: float = 5  # for one server
    resolve_s: float = 15  # for a whole lookup
    exchange_s: float = 10  # one message over a connection, and its reply
    udp_s: float = 5  # one datagram and its reply
    quic_s: float = 10  # one QUIC handshake
    hop_s: float = 3  # what a router or a server has to answer one limited packet
    tor_s: float = 100  # a bootstrap; a task has 120, and a censored one would take minutes
    local_targets: bool = True  # whether a private network, or this machine's own, may be visited
    hosts_file: str = "/etc/hosts"
    resolv_conf: str = "/etc/resolv.conf"
