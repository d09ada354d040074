"""The Python client that a collector serves works as documented, and is typed."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from support.past_days import feed_with_past
from support.site import Serve

QUESTIONS = """
client.get_status(country="KZ")["groups"][0]["services"]
assert client.list_incidents(country="KZ")["incidents"][0]["scope"]["country"] == "KZ"
assert client.get_incident(client.list_incidents()["incidents"][0]["id"])["parts"]
client.get_imported(country="KZ", since="2022-01-01T00:00:00Z", until="2022-01-05T00:00:00Z")
try:
    client.get_history(country="QQ")
except heliograph_client.ApiError as error:
    print(error.status, error)
"""


async def run(*words: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdout=-1, stderr=-2, env={"PATH": os.environ["PATH"]}
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_researcher_gets_what_the_first_lines_promise(serve: Serve, tmp_path: Path) -> None:
    site = await serve(feed_with_past(tmp_path))
    async with site.get("/client.py") as answer:
        source = await answer.text()
    (tmp_path / "heliograph_client.py").write_text(source)
    manual = source.split('"""')[1].partition("on which operators?\n\n")[2]
    example = manual.partition("\n\nA time")[0].replace("    ", "", 1).replace("\n    ", "\n")
    script = example.replace("https://HOST", str(site.make_url("")).rstrip("/"))
    (tmp_path / "ask.py").write_text(f"import heliograph_client\n{script}\n{QUESTIONS}")
    said = await run(sys.executable, "-I", "-c", _RUN, folder=tmp_path)
    assert "telegram 2022-01-03T00:00:00Z 2022-01-05T00:00:00Z AS9198" in said
    assert "signal 2022-01-02T07:00:00Z 2022-01-02T15:00:00Z AS29355" in said
    assert "https://news.example/ 2022-01-01T00:00:00Z 2022-01-02T00:00:00Z AS29355" in said
    assert "whatsapp" not in said
    refusal = said.splitlines()[-1]
    assert refusal.startswith("404 ")
    assert "country" in refusal
    pytest.importorskip("mypy")
    typed = await run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "heliograph_client.py"),
        "ask.py",
        folder=tmp_path,
    )
    assert typed.startswith("Success")


_RUN = "import sys; sys.path.insert(0, '.'); import runpy; runpy.run_path('ask.py')"
