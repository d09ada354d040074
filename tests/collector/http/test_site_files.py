"""security.txt and robots.txt: what researchers and crawlers ask a site for."""

from datetime import UTC, datetime, timedelta

import pytest

from heliograph_collector.http.app import build_security_txt
from support.fake_feed import NOW_US, World
from support.site import Serve


def parse_fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())


async def test_security_txt_names_the_operator_and_has_not_expired(serve: Serve) -> None:
    settings = {"security_contact": "mailto:ops@sun.example", "public_url": "https://sun.example"}
    client = await serve(World().feed(**settings))
    answer = await client.get("/.well-known/security.txt")
    assert (answer.status, answer.content_type, answer.charset) == (200, "text/plain", "utf-8")
    fields = parse_fields(await answer.text())
    assert fields["Contact"] == "mailto:ops@sun.example"
    assert fields["Canonical"] == "https://sun.example/.well-known/security.txt"
    remaining = datetime.fromisoformat(fields["Expires"]) - datetime.fromtimestamp(
        NOW_US / 1e6, UTC
    )
    assert timedelta(days=30) < remaining < timedelta(days=365)


@pytest.mark.parametrize(
    ("public_url", "mailbox"),
    [("https://sun.example:8443", "security@sun.example"), ("", "security@localhost")],
)
def test_contact_left_out_is_the_mailbox_reserved_for_it(public_url: str, mailbox: str) -> None:
    fields = parse_fields(build_security_txt("", public_url, NOW_US))
    assert fields["Contact"] == f"mailto:{mailbox}"
    assert ("Canonical" in fields) == bool(public_url)


async def test_crawlers_read_pages_and_neither_api_nor_console(serve: Serve) -> None:
    answer = await (await serve(World().feed())).get("/robots.txt")
    assert (answer.status, answer.content_type) == (200, "text/plain")
    lines = (await answer.text()).splitlines()
    assert lines[0] == "User-agent: *"
    assert {"Disallow: /api/", "Disallow: /console"} <= set(lines)
    assert "Disallow: /" not in lines
