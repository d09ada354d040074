"""Register the experiments on network protocols and on the path."""

from dataclasses import dataclass

from heliograph.experiments.entry import Category, ExperimentEntry, VisitServer
from heliograph.experiments.options import option

LARGE = "https://ajax.googleapis.com/ajax/libs/jquery/3.7.1/jquery.js"  # 285 KB, a fixed file


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsConfig:
    """Configure `dns`."""

    engines: str = option("system,udp,tcp,doh", "ways to ask, with commas between")
    types: str = option("A,AAAA", "record types, with commas between")
    resolver: str = option("9.9.9.10:53", "asked by udp and tcp", form="address:port")
    doh: str = option("", "asked by doh, empty for the first of net.doh", form="https URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConfig:
    """Configure `tcp`, which has no options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Configure `tls`."""

    server_name: str = option("", "name sent and checked in place of the host")
    sni: bool = option(True, "whether the ClientHello names the server")
    alpn: str = option("h2,http/1.1", "protocols offered, with commas between")
    trust: str = option("", "CA set the chain is checked with", words=("", "signal"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StunConfig:
    """Configure `stun`."""

    concurrency: int = option(8, "servers asked at a time", low=1, high=16)
    addresses: int = option(1, "IPv4 addresses of one name that are asked", low=1, high=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddleboxConfig:
    """Configure `middlebox`."""

    headers: bool = option(True, "send a good request with odd capitals")
    lines: bool = option(True, "send five request lines that no server understands")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedHelloConfig:
    """Configure `ech`."""

    config: str = option("", "the server's ECHConfigList in base64, empty to look it up")
    doh: str = option("", "asked for it, empty for the first of net.doh", form="https URL")
    neutral: str = option("", "HOST:PORT of a second server that gets a GREASE hello")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathConfig:
    """Configure `path`."""

    hops: int = option(24, "routers that are asked at most", low=1, high=64)
    silent: int = option(4, "hops in a row without an answer that end a trace", low=1, high=64)
    seconds: int = option(120, "after which no further packet is sent", low=5, high=600)
    name: str = option("", "name that is sent in place of the host")
    neutral: str = option("www.example.com", "name that nobody minds")
    resolver: str = option("", "also trace DNS queries to it, empty for none", form="address:port")


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsIntegrityConfig:
    """Configure `dns_integrity`."""

    types: str = option("A", "record types asked for", words=("A", "AAAA", "A,AAAA"))
    resolver: str = option(
        "9.9.9.10:53", "asked over UDP and TCP, empty for none", form="address:port"
    )
    dot: str = option("9.9.9.10:853", "asked over TLS, empty for none", form="address:port")
    doh: str = option(
        "https://cloudflare-dns.com/dns-query",
        "asked over HTTPS, empty for none",
        form="https URL",
    )
    nowhere: str = option(
        "192.0.2.53:53", "where nobody serves DNS, empty for none", form="address:port"
    )
    neutral: str = option("www.example.com", "a name that nobody minds, empty for none")
    whoami: str = option("whoami.v4.powerdns.org", "a name that tells who asks, empty for none")
    linger_ms: int = option(1_000, "how long more replies over UDP are listened for", high=5_000)


QUIC_BROWSERS = ("chrome", "firefox")  # whose Initials `quic` sends, in this order


@dataclass(frozen=True, slots=True, kw_only=True)
class QuicConfig:
    """Configure `quic`."""

    neutral: str = option("www.gstatic.com:443", "HOST:PORT of a QUIC server that nobody minds")
    page: bool = option(True, "whether the target's front page is asked for over HTTP/3")
    body_limit: int = option(65_536, "bytes of its body read", low=0, high=524_288)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingConfig:
    """Configure `throttling`."""

    neutral: str = option(LARGE, "URL of something large that nobody minds")
    transfers: int = option(3, "transfers of each", low=1, high=10)
    bytes: int = option(131_072, "bytes of each transfer", low=65_536, high=4_194_304)
    ranged: bool = option(True, "whether the server is asked for no more bytes than these")


ENTRIES = (
    ExperimentEntry(
        name="dns",
        version=1,
        title="DNS: one name by several resolvers and transports",
        category=Category.NETWORK,
        config=DnsConfig,
        target_kind="host",
        visit_bytes=600,
    ),
    ExperimentEntry(
        name="tcp",
        version=1,
        title="TCP: does a port accept a connection",
        category=Category.NETWORK,
        config=TcpConfig,
        target_kind="endpoint",
        visitable=True,
        visit_bytes=900,
    ),
    ExperimentEntry(
        name="tls",
        version=1,
        title="TLS: handshake, chain and alert of one server",
        category=Category.NETWORK,
        config=TlsConfig,
        target_kind="endpoint",
        visitable=True,
    ),
    ExperimentEntry(
        name="stun",
        version=1,
        title="STUN: binding requests over UDP to public servers, or to one",
        category=Category.NETWORK,
        config=StunConfig,
        target_kind="endpoint",
        visitable=True,
        default_target="stun",
        interval_s=3_600,
        ooni_test="stunreachability",
        protocols={"stun": "STUN"},
    ),
    ExperimentEntry(
        name="middlebox",
        version=1,
        title="Middleboxes: requests to an echo service, changed or answered on the way",
        category=Category.NETWORK,
        config=MiddleboxConfig,
        target_kind="endpoint",
        protocols={"http_echo": "HTTP to the echo", "tcp_echo": "bytes to the echo"},
        replies={"echo": "came back", "http_reply": "a web server answered instead"},
    ),
    ExperimentEntry(
        name="ech",
        version=1,
        title="Encrypted ClientHello: none, GREASE and real, to one server",
        category=Category.NETWORK,
        config=EncryptedHelloConfig,
        target_kind="endpoint",
        visitable=True,
        visit_servers=(
            VisitServer(label="none", port=443),
            VisitServer(label="neutral", option="neutral", port=443),
        ),
        replies={
            "server_hello": "ServerHello",
            "server_hello_ech_accepted": "ServerHello, name unsealed",
            "hello_retry": "asked for another hello",
        },
    ),
    ExperimentEntry(
        name="path",
        version=1,
        title="Path: how far a SYN, a name in a ClientHello and a DNS query come",
        category=Category.NETWORK,
        config=PathConfig,
        target_kind="endpoint",
        requires="./agent/raw",
        replies={
            "time_exceeded": "router",
            "synack": "SYN-ACK",
            "server_hello": "ServerHello",
            "rst": "reset",
            "fin": "closed",
            "unreachable": "unreachable",
            "dns": "DNS answer",
            "data": "data",
        },
    ),
    ExperimentEntry(
        name="dns_integrity",
        version=1,
        title="DNS integrity: one name by every way, and where nobody can answer",
        category=Category.NETWORK,
        config=DnsIntegrityConfig,
        target_kind="host",
    ),
    ExperimentEntry(
        name="quic",
        version=1,
        title="QUIC: handshake and HTTP/3 page, beside TLS over TCP and a neutral server",
        category=Category.NETWORK,
        config=QuicConfig,
        target_kind="endpoint",
        visitable=True,
        visit_servers=(VisitServer(label="target", port=443, protocol="udp"),),
        # Browsers' packets: 2.5 kB each, and thrice that from a server without answers (RFC 9000
        # section 8.1). The rest is assumed: two handshakes, one over TCP, and a page.
        visit_bytes=60_000,
        requires=".[quic]",
    ),
    ExperimentEntry(
        name="throttling",
        version=1,
        title="Throttling: several transfers from a site and from a neutral one, in turn",
        category=Category.NETWORK,
        config=ThrottlingConfig,
        target_kind="url",
        visit_bytes=400_000,
    ),
)
