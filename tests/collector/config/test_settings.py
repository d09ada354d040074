"""The collector's file: defaults, every key, and the error for a wrong one."""

from pathlib import Path

import pytest

from heliograph.address import split_endpoint
from heliograph.yaml_document import YamlError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import SETTINGS_KEYS, Config, load_config

ROOT = Path(__file__).parents[3]

WHOLE = """\
data: state
roles: [ingest]
grpc: "[::1]:7000"
http: 127.0.0.1:8000
endpoint: collector.example:443
echo: {listen: 127.0.0.1:8001}
post: {listen: 127.0.0.1:8002}
dns: {listen: "127.0.0.1:8003", zone: B.example.org.}
entrances: [{carrier: post, endpoint: "a.example:443", addresses: [192.0.2.1], server_name: b.c}]
store: {url: "chdb:///var/lib/x", journal: "nats://a.example:4000, tls://b.example"}
plan: {services_file: services.yml, hello_profiles_file: hellos.yml}
control: {endpoints: [], visit_networks: [10.1.0.0/16]}
feed: {k_anonymity: 10, dumps_days: 7, url: "https://sun.example.org/",
  requests_per_minute: 0, metrics: open, security_contact: "mailto:ops@sun.example.org",
  partners_file: partners.txt, license: CC0-1.0, operator: The Sun, contact: desk@sun.example.org}
log: json
alerts: [{name: chat, kind: slack, url: "https://chat.example.org/x"}]
console: {password_file: /etc/password}
geo: {country_file: c.mmdb, asn_file: a.mmdb}
retention: {observations_days: 7, verdicts_days: 90}
intake: {trusted_proxies: [10.0.0.0/8, "::1"], without_invite: quarantine, processes: 1}
limits: {sessions: 10_000, batches_per_hour: 64}
judge: {workers: 3}
corroborate:
  sources: [ioda, radar]
  radar_token_file: radar.token
  prefixes_file: prefixes.txt
  ris_url: ws://127.0.0.1:9/v1/ws/
  ioda_url: https://mirror.example/v2/
  radar_url: "http://[::1]:9/client/v4"
  private_hosts: [mirror.example]
"""


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "c.yml"
    file.write_text(text)
    return load_config(file, {})


def test_defaults_hold_without_a_file_and_with_an_empty_one(tmp_path: Path) -> None:
    config = load_config(None, {})
    assert (config.grpc, config.http) == ("127.0.0.1:7443", "127.0.0.1:8080")
    assert (config.data, config.k_anonymity) == (Path("heliograph-data"), 5)
    assert config.control_endpoints == ("local",)
    assert load(tmp_path, "# nothing\n") == Config()
    with pytest.raises(YamlError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yml", {})


def test_every_key_can_be_set(tmp_path: Path) -> None:
    config = load(tmp_path, WHOLE)
    assert load_config(tmp_path / "c.yml", {"http": "127.0.0.1:1"}).http == "127.0.0.1:1"
    for key in SETTINGS_KEYS:
        assert getattr(config, key.field) != getattr(Config(), key.field), key.name
    assert config.data == tmp_path / "state", "paths are relative to the file"
    assert config.password_file == Path("/etc/password")
    assert config.sessions == 10_000
    assert config.contact == "mailto:desk@sun.example.org"
    assert config.dns_zone == "b.example.org"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("grcp: 1\n", 1, "grcp: unknown key; allowed: alerts, console, control"),
        ("\nfeed:\n  k: 5\n", 3, "feed.k: unknown key; allowed: contact, dumps_days, k_anonymity"),
        ("feed:\n  k_anonymity: none\n", 2, "feed.k_anonymity: 'none' must be a whole number"),
        ("feed:\n  k_anonymity: 0\n", 2, "from 1 to 1000"),
        ("feed: {license: GPL}\n", 1, "feed.license: 'GPL' must be one of CC-BY-4.0, CC-BY-SA"),
        ("feed: {contact: the desk}\n", 1, "feed.contact: must be an e-mail address, like desk@"),
        ("feed: {url: 'wss://a.example'}\n", 1, "feed.url: must be https://HOST of your pages"),
        ("feed: {url: 'http://a.example'}\n", 1, "feed.url: must be https://HOST of your pages"),
        ("feed: {url: 'http://127.0.0.1.a.example'}\n", 1, "feed.url: must be https://HOST"),
        ("feed: {url: 'https://a.example/?a'}\n", 1, r"without \? or #"),
        ("feed: {operator: ' '}\n", 1, "feed.operator: must be a name of 1 to 200"),
        ("feed: 5\n", 1, "feed: must be a mapping"),
        ("roles: [ingest, x]\n", 1, r"roles\[1\]: 'x' must be one of ingest, judge"),
        ("roles: [ingest, judge, jobs]\n", 1, "detect and publish missing: judge, detect, publish"),
        ("roles: [ingest, console]\n", 1, "console needs judge, detect, publish and jobs: add"),
        ("grpc: 7443\n", 1, "grpc: '7443' must be HOST:PORT"),
        ("roles: []\n", 1, "roles that work together: at least one is needed"),
        ("roles: ingest\n", 1, r"c\.yml, line 1: roles: must be a list\.$"),
        ("post: {listen: [1]}\n", 1, r"c\.yml, line 1: post.listen: must be one value, not a list"),
        ("grpc: ::1:7443\n", 1, r'needs brackets .* quotes around all of it: "\[::1\]:7443"'),
        ("endpoint: http://a:1\n", 1, "'http://a:1' must be HOST:PORT alone"),
        ("endpoint: a b:1\n", 1, "'a b:1' must be HOST:PORT alone"),
        ("http: a:99999\n", 1, "must be HOST:PORT"),
        ("control:\n  endpoints: [remote]\n", 2, r"endpoints\[0\]: 'remote' must be one of"),
        ("control:\n  endpoints: local\n", 2, "must be a list"),
        ("store:\n  url: sqlite:///x\n", 2, "must be chdb:///PATH"),
        ("store: {url: 'clickhouse://'}\n", 1, "clickhouse://HOST:PORT or clickhouses://"),
        ("store: {journal: 'http://a:1'}\n", 1, "store.journal: must begin with nats:// or tls://"),
        ("store: {journal: 'nats://u:p@a:1'}\n", 1, "no password: name a credentials_file"),
        ("store: {journal: {servers: []}}\n", 1, "servers: must name at least one server"),
        ("store: {journal: {servers: ['nats://:1']}}\n", 1, "is no server, like nats://HOST:4222"),
        ("store: {journal: {servers: ['tls://a'], key_file: k}}\n", 1, "set both, or neither"),
        (
            "store: {journal: {servers: ['tls://a'], name: a.b}}\n",
            1,
            "name: must be 1 to 32",
        ),
        ("intake:\n  trusted_proxies: [10.0.0.1/8]\n", 2, r"proxies\[0\]: '10.0.0.1/8' must be"),
        ("entrances: [{carrier: post}]\n", 1, "the key endpoint is missing"),
        ("entrances: [{relay: x}]\n", 1, "is no relay's line"),
        ("dns: {zone: a b}\n", 1, "dns.zone: must be a zone of at most 100"),
        ("entrances: [{carrier: mail, endpoint: a:1}]\n", 1, "must be one of stream, post"),
        ("entrances: [{carrier: post, endpoint: a:1, addresses: [b]}]\n", 1, "must be an address"),
        ("entrances: [{carrier: post, endpoint: a:1, server_name: a b}]\n", 1, "a host's name"),
        ("entrances: [{carrier: post, endpoint: a:1, server_name: a..b}]\n", 1, "is no host"),
        ("entrances: [{carrier: post, endpoint: 'a..b:1'}]\n", 1, "is no host"),
        ("corroborate: {sources: [x]}\n", 1, r"sources\[0\]: 'x' must be one of ris, ioda, radar"),
        ("corroborate: {ioda_url: http://a.example}\n", 1, "ioda_url: must begin with https://"),
        ("corroborate: {ris_url: 'wss://[::1'}\n", 1, "ris_url: is no address"),
        ("corroborate: {radar_url: file:///etc}\n", 1, "must begin with https://"),
        ("grpc: a:1\ngrpc: a:2\n", 2, "grpc: stands twice"),
        ("data: [a]\n", 1, "data: must be one value"),
        ("a: [b\n", 2, r"expected ',' or '\]', but got '<stream end>'\.$"),
        ("grpc: [::1]:7443\n", 1, "is not YAML: .*; put quotes around an IPv6 address"),
        ("data: \x01\n", 1, "is not YAML: it is no text in UTF-8"),
        ("- a\n", 1, "file: must be a mapping"),
    ],
)
def test_mistake_is_named_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    with pytest.raises(YamlError, match=says) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'c.yml'}, line {line}: ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("text", ["\x00", "a: &x [*x]\n", "{" * 5_000, "a: " + "9" * 2_000_000])
def test_hostile_yaml_raises(tmp_path: Path, text: str) -> None:
    with pytest.raises(YamlError):
        load(tmp_path, text)


def test_journal_on_servers(tmp_path: Path) -> None:
    short = load(tmp_path, "store: {journal: 'nats://a.example:4000, tls://[::1]'}\n").journal
    assert short == JournalSettings(urls=("nats://a.example:4000", "tls://[::1]:4222"))
    text = """
store:
  journal:
    servers: [tls://a.example, tls://b.example]
    name: two
    replicas: 1
    kept_hours: 2
    max_gib: 3
    ca_file: ca.pem
    certificate_file: /c.pem
    key_file: /k.pem
    credentials_file: collector.creds
"""
    assert load(tmp_path, text).journal == JournalSettings(
        urls=("tls://a.example:4222", "tls://b.example:4222"),
        name="two",
        replicas=1,
        kept_hours=2,
        max_bytes=3 << 30,
        ca_file=tmp_path / "ca.pem",
        certificate_file=Path("/c.pem"),
        key_file=Path("/k.pem"),
        credentials_file=tmp_path / "collector.creds",
    )


def test_split_endpoint() -> None:
    assert split_endpoint("a.example:1") == ("a.example", 1)
    assert split_endpoint("[2001:db8::1]:443") == ("2001:db8::1", 443)
    for text in ("a", ":1", "a:", "a:-1", "a:65536", "2001:db8::1:5"):
        with pytest.raises(ValueError, match=r"must be HOST|needs brackets"):
            split_endpoint(text)


def test_every_key_is_in_the_manual_and_the_example_loads() -> None:
    manual = (ROOT / "deploy/collector/README.md").read_text()
    assert [key.name for key in SETTINGS_KEYS if f"| `{key.name}` |" not in manual] == []
    config = load_config(ROOT / "deploy/collector/collector.yml", {})
    assert config.k_anonymity == 5
