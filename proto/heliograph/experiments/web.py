"""Register the experiments on web sites and their names."""

from dataclasses import dataclass

from heliograph.experiments.entry import Category, ExperimentEntry, VisitServer
from heliograph.experiments.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Configure `web`."""

    resolver: str = (
        option(  # Quad9's without a filter; 9.9.9.9 denies names that it calls malicious
            "9.9.9.10:53", "second resolver, over UDP, empty for none", form="address:port"
        )
    )
    doh: str = option(
        "https://cloudflare-dns.com/dns-query",
        "third resolver, over HTTPS, empty for none",
        form="https URL",
    )
    linger_ms: int = option(500, "how long more replies over UDP are listened for", high=5_000)
    addresses: int = option(6, "addresses connected to", low=1, high=16)
    validate: bool = option(True, "for an http URL, whether port 443 is asked whose address it is")
    redirects: int = option(10, "redirects followed", low=0, high=10)
    body_limit: int = option(524_288, "bytes of body read", low=0, high=4_194_304)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpHostConfig:
    """Configure `http_host`."""

    neutral: str = option(
        "www.gstatic.com:80", "HOST:PORT of a server that nobody minds and that answers any name"
    )
    direct: bool = option(True, "whether the target's own server is asked too")


@dataclass(frozen=True, slots=True, kw_only=True)
class SniConfig:
    """Configure `sni`."""

    neutral: str = option(
        "www.gstatic.com:443", "HOST:PORT of a server that nobody minds and that takes any name"
    )
    direct: bool = option(True, "whether the target's own server is asked too")


# Bytes of a hello that fills more than one segment of Ethernet with IPv4, as browsers' do.
ONE_SEGMENT = 1_460
# Labels of browsers' hellos in a result of `hello`; the last has its name in a second segment.
BROWSER_HELLOS = ("firefox", "chrome", "chrome_late")


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloConfig:
    """Configure `hello`."""

    neutral: str = option(
        "www.example.com", "a name that nobody minds, shown to the same server after a failure"
    )
    trust: str = option("", "CA set that the own handshake is checked with, empty for the public")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserConfig:
    """Configure `browser`."""

    browser: str = option("chrome", "whose TLS and HTTP", words=("chrome", "firefox"))
    body_limit: int = option(524_288, "bytes of body read", low=0, high=4_194_304)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideInConfig:
    """Configure `outside_in`."""

    concurrency: int = option(4, "sites visited at a time", low=1, high=16)


ENTRIES = (
    ExperimentEntry(
        name="web",
        version=2,
        title="Web: lookup, connection, handshake, page and redirects of one URL",
        category=Category.WEB,
        config=WebConfig,
        target_kind="url",
        visitable=True,
        interval_s=3_600,
        planned_targets=("https://www.wikipedia.org/", "https://www.example.com/"),
        visit_bytes=60_000,
        ooni_test="web_connectivity",
    ),
    ExperimentEntry(
        name="http_host",
        version=1,
        title="Host header: a name asked of a neutral server in clear, beside a neutral name",
        category=Category.WEB,
        config=HttpHostConfig,
        target_kind="host",
        visitable=True,
        visit_servers=(
            VisitServer(label="neutral", option="neutral", port=80),
            VisitServer(label="direct", port=80),
        ),
    ),
    ExperimentEntry(
        name="sni",
        version=1,
        title="SNI: a name shown to a neutral server, beside a neutral name and none",
        category=Category.WEB,
        config=SniConfig,
        target_kind="host",
        visitable=True,
        visit_servers=(
            VisitServer(label="neutral", option="neutral", port=443),
            VisitServer(label="direct", port=443),
        ),
    ),
    ExperimentEntry(
        name="hello",
        version=1,
        title="Hellos: ours, Firefox's and Chrome's, to one server, up to its first answer",
        category=Category.WEB,
        config=HelloConfig,
        target_kind="endpoint",
        # Of a service's names in turn: 11 such lines move 1.8 MB a day. Each two hours they put off
        # light rounds, and a block of a messenger was found in 314 s at the 95th percentile (284).
        interval_s=14_400,
        in_turn=True,
        visitable=True,
        visit_servers=(VisitServer(label="own", port=443),),
        visit_bytes=27_000,
    ),
    ExperimentEntry(
        name="browser",
        version=1,
        title="Browser: a page over HTTPS with the TLS and HTTP of Chrome or Firefox",
        category=Category.WEB,
        config=BrowserConfig,
        target_kind="url",
        interval_s=3_600,
        visit_bytes=60_000,  # as `web`
        requires=".[browser]",
    ),
    ExperimentEntry(
        name="outside_in",
        version=1,
        title="Outside in: a country's own sites as seen from abroad, run by controls",
        category=Category.WEB,
        config=OutsideInConfig,
        target_kind="service",
        interval_s=3_600,
        role="control",  # it measures from abroad, so volunteers inside the country never run it
    ),
)
