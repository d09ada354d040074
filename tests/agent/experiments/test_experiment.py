"""Options and targets are used if valid; an error names the allowed ones."""

import base64
import json

import pytest

from heliograph.experiments.network import TlsConfig
from heliograph.experiments.options import options_of
from heliograph.experiments.web import WebConfig
from heliograph.services import load_shipped_services
from heliograph_agent.experiments import REGISTRY, find_experiment
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Target, parse_config
from heliograph_agent.experiments.vpn import parse_servers
from support.ech_server import in_base64, published
from support.experiment_run import observed
from support.fake_net import World


def test_options_are_read_by_the_type_of_their_field() -> None:
    config = parse_config(find_experiment("tls"), {"sni": "false", "server_name": "decoy.test"})
    assert config == TlsConfig(sni=False, server_name="decoy.test")
    assert parse_config(find_experiment("web"), {"redirects": "0"}) == WebConfig(redirects=0)
    assert parse_config(find_experiment("web"), {"resolver": ""}).resolver == ""
    assert parse_config(find_experiment("web"), {"resolver": "9.9.9.9"}).resolver == "9.9.9.9"


@pytest.mark.parametrize(
    ("name", "key", "value", "sentence"),
    [
        ("web", "colour", "red", "web has no option 'colour'; its options are: resolver, doh,"),
        ("tcp", "colour", "red", "tcp has no option 'colour'; its options are: none."),
        ("web", "redirects", "11", "redirects cannot be '11'; allowed: 0 to 10."),
        ("web", "redirects", "-1", "redirects cannot be '-1'; allowed: 0 to 10."),
        ("web", "redirects", "٣", "redirects cannot be '٣'; allowed: 0 to 10."),
        ("web", "redirects", "1" * 5000, "allowed: 0 to 10."),
        ("web", "resolver", "a.test:53", "resolver cannot be 'a.test:53'; allowed: address:port."),
        ("web", "resolver", "9.9.9.9:99999", "allowed: address:port."),
        ("web", "doh", "http://x/", "doh cannot be 'http://x/'; allowed: https URL."),
        ("web", "doh", "https://x:y/", "doh cannot be 'https://x:y/'; allowed: https URL."),
        ("tls", "sni", "yes", "sni cannot be 'yes'; allowed: true, false."),
        ("tls", "trust", "mine", "trust cannot be 'mine'; allowed: \"\", signal."),
        ("tls", "server_name", "a\x1b[2J", "allowed: text."),
        ("tls", "server_name", "a" * 254, "allowed: text."),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(
    name: str, key: str, value: str, sentence: str
) -> None:
    with pytest.raises(CannotRun) as caught:
        parse_config(find_experiment(name), {key: value})
    assert sentence in str(caught.value)


SITE = "http://www.test/"
LOW_ORDER = base64.b64encode(b"\x01" + bytes(31)).decode()
KEY = "/+" + "A" * 41 + "="
NO_PAGE = "no URL of a web page"
NO_NAME = "no name to send"
NO_PLACE = "HOST:PORT"
REFUSALS: list[tuple[str, str, dict[str, str], str]] = [
    *(("dns", name, {}, "no host name") for name in ("a..b", "", "x" * 300, "https://www.test/")),
    ("dns", "www.test", {"engines": "pigeon"}, "system, udp, tcp, doh"),
    ("dns", "www.test", {"types": "ANY"}, "A, AAAA"),
    ("dns", "www.test", {"types": ","}, "A, AAAA"),
    ("dns", "www.test", {"resolver": ""}, "resolver cannot be empty"),
    ("dns_integrity", "192.0.2.1", {}, "the target cannot be '192.0.2.1'"),
    ("dns_integrity", "a..b", {}, "the target cannot be"),
    ("dns_integrity", "www.test", {"neutral": "a b"}, "neutral cannot be 'a b'"),
    ("dns_integrity", "www.test", {"whoami": "192.0.2.1"}, "whoami cannot be"),
    ("ech", "www.test", {"config": "!!"}, "config "),
    ("ech", "www.test", {"config": in_base64(published(b"short"))}, "config "),
    ("http_host", "192.0.2.1", {}, NO_NAME),
    ("middlebox", "192.0.2.7", {"headers": "false", "lines": "false"}, "nothing is left to send"),
    ("path", "www.test", {"neutral": "no name"}, "neutral cannot be 'no name'"),
    ("path", "www.test", {"name": "192.0.2.1"}, "name cannot be"),
    ("path", "192.0.2.1", {"resolver": "192.0.2.53:53"}, "needs a name"),
    ("path", "192.0.2.1", {}, "this machine has no raw"),
    ("quic", "192.0.2.1", {}, "has no quic"),
    ("sni", "192.0.2.1", {"neutral": "neutral.test"}, NO_NAME),
    ("sni", "target.test", {"neutral": "192.0.2.80:443"}, NO_NAME),
    ("stun", "a b", {}, NO_PLACE),
    *(("tcp", text, {}, NO_PLACE)
      for text in ("www.test", "www.test:0", "www.test:99999", ":80", "[::1", "", ":443", "a:b",
                   "a" * 300, "www.test:70000")),
    *(("throttling", url, {}, f"target: .* {NO_PAGE}") for url in ("x.test", "ftp://x.test/", "")),
    ("throttling", SITE, {"neutral": "www.test"}, f"neutral: .* {NO_PAGE}"),
    ("tls", "www.test", {"server_name": ".test"}, "server_name cannot be '.test'; allowed: "),
    ("tls", "www.test", {"server_name": "a..test"}, "server_name cannot be 'a..test'; allowed: "),
    ("tls", "www.test", {"alpn": "h2,é"}, "alpn cannot be 'h2,é'; allowed: "),
    ("tor", "tor", {"bridge": "192.0.2.7:443"}, "bootstrap=true"),
    ("vpn", f"wireguard://{LOW_ORDER}@192.0.2.1", {}, "nobody can have"),
    ("vpn", f"wireguard://{KEY}@192.0.2.1", {"private_key": "short"},
     "private_key is no WireGuard key"),
    *(("web", url, {}, NO_PAGE)
      for url in ("http://a..b/", "http://exa mple/", "www.test", "ftp://www.test/", "https:///",
                  "http://[::1/")),
    *(("connectivity", "anchors", {"domestic": url}, "domestic cannot be")
      for url in ("www.gov.test", "ftp://www.gov.test/", "https://", "http://[/")),
    *((name, "nothing", {}, "no service")
      for name in ("telegram", "whatsapp", "signal", "connectivity", "outside_in", "tor")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "target", "options", "sentence"), REFUSALS)
async def test_what_cannot_run_is_refused_in_words(
    name: str, target: str, options: dict[str, str], sentence: str
) -> None:
    service = load_shipped_services().get(target)
    missing = frozenset({"raw", "quic"} & set(sentence.split()))
    world = World(names={"www.test": ("192.0.2.1",)}, without=missing)
    with pytest.raises(CannotRun, match=sentence):
        await observed(name, Target(value=target, service=service), world, options)


@pytest.mark.parametrize(
    "text",
    [
        "", "vpn.test:1194", "https://vpn.test/", "openvpn://vpn.test:1194/sctp",
        "openvpn://key@vpn.test:1194", "wireguard://vpn.test:51820",
        "wireguard://c2hvcnQ=@vpn.test:51820", f"wireguard://{'A' * 43}=@vpn.test:51820",
        f"wireguard://{KEY}@", ",".join(["openvpn://vpn.test"] * 17),
    ],
)  # fmt: skip
def test_text_that_names_no_vpn_server_is_refused(text: str) -> None:
    with pytest.raises(CannotRun):
        parse_servers(text)


def test_an_unknown_experiment_is_answered_with_the_known_ones() -> None:
    known = ", ".join(experiment.name for experiment in REGISTRY)
    with pytest.raises(CannotRun, match=known):
        find_experiment("teleport")


@pytest.mark.parametrize("experiment", REGISTRY, ids=lambda e: e.name)
def test_defaults_are_themselves_allowed(experiment: Experiment) -> None:
    written = {
        option.key: json.dumps(option.default).strip('"')
        for option in options_of(experiment.config)
    }
    assert parse_config(experiment, written) == experiment.config()
