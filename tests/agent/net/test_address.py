"""host:port as users write it."""

import pytest

from heliograph_agent.net.address import host_port, literal


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
    ],
)
def test_host_port(text: str, pair: tuple[str, int]) -> None:
    assert host_port(text, "net.resolver") == pair


@pytest.mark.parametrize(
    "text", ["", ":53", "dns.test:53", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:70000"]
)
def test_mistakes_name_their_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"net\.resolver: "):
        host_port(text, "net.resolver")


def test_literal() -> None:
    assert literal("[2001:DB8::1]") == "2001:db8::1"
    assert literal("www.example.test") == ""
