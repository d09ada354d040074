"""`/api/v1/log`: any download is provable by our command and the published key."""

import json
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.cli import main
from heliograph_collector.incidents.log_file import (
    canonical_json,
    hash_of,
    verify_lines,
)
from heliograph_collector.incidents.state import EMPTY_HEAD
from support.fake_feed import World
from support.incident_book import KEY, blocking, book, evening_book, silence
from support.site import Serve

Capture = pytest.CaptureFixture[str]


async def opened(serve: Serve, **changes: Any) -> Any:
    return await serve(World().feed(**{"book": evening_book(), "public_key": KEY.public} | changes))


async def test_a_download_is_proved_far_from_the_collector(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    client = await opened(serve)
    answer = await client.get("/api/v1/log?format=jsonl")
    assert answer.content_type == "application/jsonl"
    assert "attachment" in answer.headers["Content-Disposition"]
    file = tmp_path / "alerts.jsonl"
    file.write_bytes(await answer.read())
    published = await client.json("/api/v1/log?limit=1")
    monkeypatch.chdir(tmp_path)
    proof = ["--key", published["public_key"], "--head", published["head"]]
    assert main(["log", "verify", str(file), *proof]) == 0
    assert f"{published['total']} entries hold" in capsys.readouterr().out
    file.write_bytes(file.read_bytes().replace(b'"suspected"', b'"confirmed"', 1))
    assert main(["log", "verify", str(file), *proof]) == 1
    assert "Entry 1 is bad" in capsys.readouterr().out


async def test_the_json_answer_is_proved_too(serve: Serve, tmp_path: Path, capsys: Capture) -> None:
    """Somebody who has saved the answer as it is need not know of the other format."""
    client = await opened(serve)
    file = tmp_path / "log.json"
    file.write_bytes(await (await client.get("/api/v1/log?limit=500")).read())
    assert main(["log", "verify", str(file), "--key", KEY.public.hex()]) == 0
    file.write_bytes(await (await client.get("/api/v1/log?limit=2")).read())
    assert main(["log", "verify", str(file), "--key", KEY.public.hex()]) == 1
    assert "missing at the end" in capsys.readouterr().out


async def test_entries_are_byte_for_byte_what_was_signed(serve: Serve) -> None:
    kept = evening_book()
    client = await opened(serve, book=kept)
    raw = await (await client.get("/api/v1/log")).read()
    body = json.loads(raw)
    assert [canonical_json(e) for e in body["entries"]] == [e.line for e in kept.entries]
    assert all(entry.line in raw for entry in kept.entries)
    assert hash_of(canonical_json(body["entries"][-1])) == body["head"] == kept.head


async def test_pages_join_to_the_whole(serve: Serve) -> None:
    client = await opened(serve)
    lines: list[bytes] = []
    after: int | None = 0
    for _ in range(20):
        body = await client.json(f"/api/v1/log?after={after}&limit=4")
        lines += [canonical_json(entry) for entry in body["entries"]]
        after = body["next"]
        if after is None:
            break
    proof = verify_lines(lines, KEY.public, body["head"])
    assert (proof.bad, proof.entries) == (None, body["total"])


async def test_a_long_log_comes_in_pages_of_bounded_size(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_collector.http.api.log._MAX_BYTES", 3_000)
    client = await opened(serve)
    body = await client.json("/api/v1/log")
    assert 1 <= len(body["entries"]) < body["total"]
    assert body["next"] == len(body["entries"])


async def test_an_empty_log_says_so(serve: Serve) -> None:
    client = await opened(serve, book=book())
    body = await client.json("/api/v1/log")
    empty = {"entries": [], "head": EMPTY_HEAD, "total": 0, "next": None}
    assert body == empty | {"public_key": KEY.public.hex()}
    assert await (await client.get("/api/v1/log?format=jsonl")).read() == b""
    beyond = await client.json("/api/v1/log?after=99")
    assert (beyond["entries"], beyond["next"]) == ([], None)


@pytest.mark.parametrize("query", ["", "?format=jsonl"])
async def test_it_is_asked_for_again_only_when_it_grew(serve: Serve, query: str) -> None:
    kept = book(silence())
    client = await opened(serve, book=kept)
    first = await client.get(f"/api/v1/log{query}")
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    again = {"If-None-Match": first.headers["ETag"]}
    assert (await client.get(f"/api/v1/log{query}", headers=again)).status == 304
    for entry in book(silence(), blocking(minutes=1)).entries[2:]:
        kept.append(entry)
    assert (await client.get(f"/api/v1/log{query}", headers=again)).status == 200
