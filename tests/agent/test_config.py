"""The configuration file: its settings, and the reports of its errors."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.observation import Access
from heliograph.yaml_document import MAX_BYTES
from heliograph_agent import config as c

AGENT = Path(__file__).parents[2] / "agent"


def test_missing_file_is_the_default(tmp_path: Path) -> None:
    assert c.load_config(tmp_path / "none.yml") == c.Config()


def test_parse_config(tmp_path: Path) -> None:
    file = tmp_path / "some.pem"
    file.write_text("-----BEGIN CERTIFICATE-----")
    text = f"""
net:
  resolver: 127.0.0.1:5353
  doh: [https://doh.example/dns-query]
  ca_file: {file}
plan:
  services_file: {file}
limits:
  bytes_per_month: 5_000_000
  battery_percent: 0
vantage:
  country: kz
  region: KZ-75
  access: mobile
"""
    assert c.parse_config(text.encode(), "x.yml") == c.Config(
        resolver="127.0.0.1:5353",
        doh=("https://doh.example/dns-query",),
        ca_file=str(file),
        services_file=str(file),
        bytes_per_month=5_000_000,
        battery_percent=0,
        country="KZ",
        region="KZ-75",
        access=Access.MOBILE,
    )


MISTAKES = {
    "net:\n  resolvr: a:53": r"x\.yml, line 2: unknown key net\.resolvr; .*net\.resolver",
    "nett: 1": r"x\.yml, line 1: unknown key nett; allowed keys are net\.resolver",
    "net:\n  resolver: a": r"line 2: net\.resolver cannot be 'a'; allowed: address:port",
    "net:\n  resolver: localhost:53": r"cannot be 'localhost:53'; allowed: address:port",
    "net:\n  doh: https://x:y/": r"line 2: net\.doh .*https",
    "net:\n  ca_file: /dev/null": r"line 2: net\.ca_file .*a PEM file with certificates",
    "\nvantage:\n  access: wifi": r"line 3: vantage\.access cannot be 'wifi'; allowed: mobile, fi",
    "net:\n  ca_file: /no/such": r"line 2: net\.ca_file .*a PEM file with certificates",
    "net:\n  doh: http://x/": r"line 2: net\.doh .*https",
    "limits:\n  bytes_per_month: 12": r"line 2: limits\.bytes_per_month .*from 1000000",
    "limits:\n  battery_percent: 101": r"line 2: limits\.battery_percent .*from 0 to 100",
    "vantage:\n  country: KAZ": r"line 2: vantage\.country .*two letters",
    "vantage:\n  country: UK": r"line 2: vantage\.country cannot be 'UK'; .*, or GB for Britain",
    "vantage:\n  region: KZ-LIE": r"line 2: vantage\.region cannot be 'KZ-LIE'; .*KZ-71, KZ-75",
    "vantage:\n  region: LOL": r"line 2: vantage\.region .*an ISO 3166-2 code like KZ-75",
    "vantage:\n  region: KZ-75\n  country: AD": r"vantage\.region .*KZ-75.* with .*AD-02, AD-03",
    "net: 7": r"line 1: net must be keys and values; allowed keys are net\.resolver, net\.doh",
    "vantage:\n  country: [KZ]": r"line 2: vantage\.country must be two letters",
    "net:\n  resolver: 1.1.1.1\n  resolver: 9.9.9.9": r"line 3: net\.resolver: stands twice",
    "- 1": r"line 1: the file must be keys and values",
    "net: [": r"x\.yml, line [12]: is not YAML",
    "\t": r"x\.yml, line [12]: is not YAML",
}


@pytest.mark.parametrize(("text", "sentence"), MISTAKES.items())
def test_mistake_names_place_and_allowed_values(text: str, sentence: str) -> None:
    with pytest.raises(c.AgentConfigError) as raised:
        c.parse_config(text.encode(), "x.yml")
    assert re.search(sentence, str(raised.value)), raised.value


def test_too_large_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(c.AgentConfigError, match="larger than"):
        c.load_config(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(text: bytes) -> None:
    try:
        c.parse_config(text, "x.yml")
    except c.AgentConfigError:
        return


def test_command_line_options_override_file() -> None:
    config = c.with_options(
        c.Config(resolver="1.1.1.1:1"),
        {"net.resolver": "[::1]:2", "net.doh": "https://x/,https://y/"},
    )
    assert (config.resolver, config.doh) == ("[::1]:2", ("https://x/", "https://y/"))
    with pytest.raises(c.AgentConfigError, match=r"--option: unknown key net\.port"):
        c.with_options(c.Config(), {"net.port": "1"})


def test_readme_lists_every_key() -> None:
    readme = (AGENT / "README.md").read_text()
    for name in c.KEYS:
        assert f"| `{name}` |" in readme


def test_example_configuration_names_every_key() -> None:
    example = AGENT.parent / "deploy" / "agent" / "config.yml"
    assert c.load_config(example) == c.Config()
    bare = re.sub(r"(?m)^# ?(?=[ a-z]+:)", "", example.read_text())
    for name in c.KEYS:
        assert f"  {name.partition('.')[2]}:" in bare
