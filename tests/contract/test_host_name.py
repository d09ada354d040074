"""Names are encoded as browsers do, by node's `new URL` (WHATWG)."""
# ruff: noqa: RUF001, E501

import pytest

from heliograph.codec.checks import check_host
from heliograph.host_name import encode_host
from heliograph.plan import PlannedTask
from heliograph.services import parse_services
from heliograph.visit_servers import list_page_hosts, list_servers
from heliograph_collector.judge.endpoint_view import parse_host

JOINED = "نامه\u200cای.com"


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("faß.de", "xn--fa-hia.de"), ("ς.gr", "xn--3xa.gr"), ("Σ.gr", "xn--4xa.gr"),
        (JOINED, "xn--mgba3gch31f060k.com"), ("क्\u200dष.com", "xn--11b2ezcw70k.com"),
        ("a\u200cb.com", None), ("a\u200db.com", None), ("a\u00adb.com", "ab.com"),
        ("ӘЛЕМ.ҚАЗ", "xn--e1ale93d.xn--80ao21a"), ("ПРЕЗИДЕНТ.РФ", "xn--d1abbgf6aiiy.xn--p1ai"),
        ("www。Example．com｡", "www.example.com"), ("ＡＢＣ.ｃｏｍ", "abc.com"), ("a..b", None),
        ("example.com.", "example.com"), ("example.com..", None), ("İstanbul.com", "xn--istanbul-o0e.com"),
        ("אב1.com", "xn--1-zhcd.com"), ("אבa.com", None), ("\u0301a.com", None),
        ("a" * 63 + ".de", "a" * 63 + ".de"), ("a" * 64 + ".de", None), ("ä" * 60 + ".de", None),
        (".".join(["abcdefg"] * 32), None), ("☃.net", "xn--n3h.net"), ("a b.com", None), ("a<b.com", None),
        ("r3---sn-abc.googlevideo.com", "r3---sn-abc.googlevideo.com"), ("_a.Test", "_a.test"),
        ("XN--FA-HIA.de", "xn--fa-hia.de"), ("xn--a", None), ("xn--9", None), ("xn--ls8h.la", "xn--ls8h.la"),
        ("127.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("0177.0.0.1", "127.0.0.1"),
        ("١٢٧.0.0.1", None), ("１２７.0.0.1", "127.0.0.1"), ("256.1", None), ("1.2.3.4.5", None),
        ("4294967295", "255.255.255.255"), ("4294967296", None), ("foo.123", None), ("09.1", None),
        ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("", None), ("x" * 5_000, None),
    ],
)  # fmt: skip
def test_a_name_is_the_one_a_browser_opens(name: str, encoded: str | None) -> None:
    assert encode_host(name) == encoded


@pytest.mark.parametrize(
    ("name", "encoded"), [("faß.de", "xn--fa-hia.de"), (JOINED, "xn--mgba3gch31f060k.com")]
)
def test_plan_list_control_and_judge_mean_the_same_name(name: str, encoded: str) -> None:
    document = f'version: "1"\nservices: {{x: {{title: X, endpoints: [{{id: a, kind: https, host: "{name}"}}]}}}}'
    assert parse_services(document.encode(), "x.yml").services[0].endpoints[0].host == encoded
    page = PlannedTask(experiment="web", interval_s=60, target=f"https://{name}/")
    assert list_page_hosts([page]) == {encoded}
    assert [server.host for server in list_servers("web", page.target, {})] == [encoded]
    assert parse_host(page.target) == encoded
    assert check_host("entrance.host", name) == name
