"""The line to the collector: small questions that are not answered twice, and its live stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from heliograph_collector.cli.top.model import OPEN, Picture

DEADLINE_S = 30.0  # a bad line is slow, not dead
SILENCE_S = 40.0  # the stream beats every 15 s
MOST_BYTES = 8_388_608
_LINE = 1_048_576
_FIGURES = (
    "heliograph_envelopes_total",
    "heliograph_measurements_total",
    "heliograph_detector_behind_seconds",
)


class WireError(Exception):
    """No answer that can be used; str() says what came instead."""


class Wire:
    """Remembers each answer's ETag, so that what did not change costs a line."""

    def __init__(self, session: aiohttp.ClientSession, url: str, password: str = "") -> None:
        self._session, self._url = session, url
        self._auth = aiohttp.BasicAuth("operator", password) if password else None
        self._tags: dict[str, str] = {}

    async def changed(self, path: str) -> Any:
        """The JSON at a path, None when it is as it was. Raises WireError."""
        headers = {"If-None-Match": self._tags[path]} if path in self._tags else {}
        status, body, tag = await self._get(path, headers)
        if status == 304:
            return None
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise WireError("it answers with something else than a collector") from None
        if not isinstance(found, dict):
            raise WireError("it answers with something else than a collector")
        if tag:
            self._tags[path] = tag
        return found

    async def text(self, path: str) -> str:
        """Raises WireError."""
        return (await self._get(path, {}))[1].decode(errors="replace")

    async def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._session.get(
                    self._url + path, headers=headers, auth=self._auth, allow_redirects=False
                ) as answer,
            ):
                if answer.status not in (200, 304, 503):
                    raise WireError(f"{path} answers {answer.status}")
                body = await _bounded(answer)
                return answer.status, body, answer.headers.get("ETag", "")
        except TimeoutError:
            raise WireError(f"no answer in {DEADLINE_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise WireError(f"no answer ({type(error).__name__})") from None

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        """(name, data) as they come; ("", None) for a sign of life. Raises WireError at its end."""
        try:
            async with (
                asyncio.timeout(DEADLINE_S) as opening,
                self._session.get(f"{self._url}/api/v1/stream", allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise WireError(f"the stream answers {answer.status}")
                opening.reschedule(None)
                name = ""
                while raw := await _line(answer):
                    text = raw.decode(errors="replace").rstrip("\n")
                    if text.startswith("event: "):
                        name = text.removeprefix("event: ")
                    elif text.startswith("data: "):
                        yield name, _data(text.removeprefix("data: "))
                    elif text.startswith(":"):
                        yield "", None
        except TimeoutError:
            raise WireError("the stream fell silent") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WireError(f"the stream broke ({type(error).__name__})") from None
        raise WireError("the stream ended")


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MOST_BYTES:
            raise WireError(f"it answers with more than {MOST_BYTES} bytes")
    return bytes(body)


async def _line(answer: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(SILENCE_S):
        return await answer.content.readline()


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


@asynccontextmanager
async def opened(url: str, password: str) -> AsyncIterator[Wire]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=True, read_bufsize=_LINE
    ) as session:
        yield Wire(session, url, password)


async def refresh(wire: Wire, picture: Picture, *, figures: bool) -> None:
    """Ask for all that may have changed. Raises WireError."""
    status = await wire.changed("/api/v1/status")
    if status is not None:
        _careful(lambda: picture.take_status(status))
    for state in OPEN:
        found = await wire.changed(f"/api/v1/incidents?state={state}&limit=50")
        if found is not None:
            incidents = found
            _careful(lambda: picture.take_incidents(incidents["incidents"], state))  # noqa: B023 -- called at once
    ready = await wire.changed("/readyz")
    if ready is not None:
        picture.problems = [str(problem) for problem in ready.get("problems", ())]
    if figures:
        picture.figures = read_figures(await wire.text("/metrics"))


def take(picture: Picture, name: str, data: Any) -> bool:
    """An event of the stream; False when it says that all must be asked for again."""
    if name == "resync":
        return False
    doing: dict[str, Callable[[Any], None]] = {
        "cell": picture.take_cell,
        "coverage": picture.take_coverage,
        "incident": picture.take_incident,
    }
    if name in doing:
        _careful(lambda: doing[name](data))
    return True


def _careful(work: Callable[[], None]) -> None:
    """Raises WireError on what a collector of another edition may send."""
    try:
        work()
    except (KeyError, TypeError, AttributeError, ValueError):
        raise WireError("it speaks another edition's words") from None


def read_figures(text: str) -> dict[str, float]:
    """Sums of the metrics that matter here, by name."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        bare = line.partition(" ")[0].partition("{")[0]
        if bare in _FIGURES:
            try:
                found[bare] = found.get(bare, 0.0) + float(line.rpartition(" ")[2])
            except ValueError:
                continue
    return found


async def look(url: str, password: str) -> dict[str, Any]:
    """One look, as JSON. Raises WireError."""
    picture = Picture()
    async with opened(url, password) as wire:
        await refresh(wire, picture, figures=bool(password))
    return {"url": url, **picture.as_json()}
