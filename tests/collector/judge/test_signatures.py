"""The data files of signatures: each entry can be found and names its source."""

from dataclasses import replace

import pytest

from heliograph.observation import Http
from heliograph_collector.judge import signatures
from heliograph_collector.judge.page_comparison import Likeness, compare_pages
from heliograph_collector.judge.signatures import (
    Signature,
    find_interceptor,
    match_block_page,
    match_look_alike,
)

FILES = ("block_pages.yml", "false_positives.yml")
ENTRIES = [(file, entry) for file in FILES for entry in signatures._load_signatures(file)]
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
    return replace(
        PLAIN,
        status=signature.status[0] if signature.status else (302 if location else 200),
        title=said.get("title", "").upper(),
        text=said.get("text", ""),
        server=said.get("server", ""),
        location=f"http://{location.removeprefix('//')}" if location else "",
        header_names=tuple(sorted(signature.headers)),
        body_bytes=700,
    )


@pytest.mark.parametrize(("file", "entry"), ENTRIES, ids=lambda e: getattr(e, "id", e))
def test_signature_matches_its_page(file: str, entry: Signature) -> None:
    page = shown(entry)
    assert entry.matches(page)
    assert entry.source
    if file == "block_pages.yml":
        assert match_block_page(page) is not None
        assert compare_pages(page, PLAIN) is Likeness.BLOCK
    else:
        assert match_look_alike(page) is not None
        assert compare_pages(page, PLAIN) not in (Likeness.BLOCK, Likeness.DIFFERENT, Likeness.SAME)
    # What the control sees too is no block.
    likeness = compare_pages(page, page)
    assert likeness not in (Likeness.BLOCK, Likeness.DIFFERENT, Likeness.REDIRECTED)


def test_ids_are_unique_and_match_no_plain_page() -> None:
    assert match_block_page(PLAIN) is None
    assert match_look_alike(PLAIN) is None
    ids = [entry.id for _, entry in ENTRIES]
    assert len(set(ids)) == len(ids)


def test_find_interceptor() -> None:
    assert find_interceptor("CN=FortiGate CA,O=Fortinet") == "fortinet"
    assert find_interceptor("CN=Qaznet Trust Network,C=KZ") == ""
