"""The data files of signatures: each entry can be found and names its source."""

import pytest

from heliograph.observation import Http
from heliograph_collector.judge import signatures
from heliograph_collector.judge.page_comparison import Likeness, likeness
from heliograph_collector.judge.signatures import Signature, block_page, look_alike, own_interceptor

FILES = ("block_pages.yml", "false_positives.yml")
ENTRIES = [(file, entry) for file in FILES for entry in signatures._signatures(file)]
PLAIN = Http(
    method="GET",
    url="http://www.target.example/",
    status=200,
    title="The free newspaper",
    text="News of the day: ministers, courts, orders, sites and access to them",
    server="nginx",
    body_bytes=50_000,
    header_names=("content-length", "content-type"),
)


def shown(signature: Signature) -> Http:
    """A page that has what the entry asks for, and no more."""
    said = {field: any_of[-1] for field, any_of in signature.phrases}
    location = said.get("location", "")
    return Http(
        method="GET",
        url="http://www.target.example/",
        status=signature.status[0] if signature.status else (302 if location else 200),
        title=said.get("title", "").upper(),
        text=said.get("text", ""),
        server=said.get("server", ""),
        location=f"http://{location.removeprefix('//')}" if location else "",
        header_names=tuple(sorted(signature.headers)),
        body_bytes=700,
    )


@pytest.mark.parametrize(("file", "entry"), ENTRIES, ids=lambda e: getattr(e, "id", e))
def test_each_entry_is_found(file: str, entry: Signature) -> None:
    page = shown(entry)
    assert entry.fits(page)
    assert entry.source
    if file == "block_pages.yml":
        assert block_page(page) is not None
        assert likeness(page, PLAIN) is Likeness.BLOCK
    else:
        assert look_alike(page) is not None
        assert likeness(page, PLAIN) not in (Likeness.BLOCK, Likeness.DIFFERENT, Likeness.SAME)


@pytest.mark.parametrize(("file", "entry"), ENTRIES, ids=lambda e: getattr(e, "id", e))
def test_what_the_control_sees_too_is_no_sign(file: str, entry: Signature) -> None:
    page = shown(entry)
    assert likeness(page, page) not in (Likeness.BLOCK, Likeness.DIFFERENT, Likeness.REDIRECTED)


def test_a_plain_page_is_known_to_nobody() -> None:
    assert block_page(PLAIN) is None
    assert look_alike(PLAIN) is None


def test_ids_are_unique() -> None:
    ids = [entry.id for _, entry in ENTRIES]
    assert len(set(ids)) == len(ids)


def test_whose_box_it_is() -> None:
    assert own_interceptor("CN=FortiGate CA,O=Fortinet") == "fortinet"
    assert own_interceptor("CN=Qaznet Trust Network,C=KZ") == ""
