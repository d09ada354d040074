"""Client of the collector's public API: conditional requests and the live stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from heliograph_collector.cli.top.model import OPEN_STATES, WorldModel

DEADLINE_S = 30.0  # assumed; a bad line is slow and not dead
STREAM_TIMEOUT_S = 40.0  # the stream sends a keep-alive every 15 s
MAX_BODY_BYTES = 8_388_608
_MAX_LINE_BYTES = 1_048_576
_METRIC_NAMES = (
    "heliograph_envelopes_total",
    "heliograph_measurements_total",
    "heliograph_detector_behind_seconds",
)


class ApiClientError(Exception):
    """Missing or unusable answer; the message describes it."""


class ApiClient:
    """HTTP client that stores ETags, so that unchanged answers cost little."""

    def __init__(self, session: aiohttp.ClientSession, url: str, password: str) -> None:
        self._session = session
        self._url = url
        self._auth = aiohttp.BasicAuth("operator", password) if password else None
        self._etags: dict[str, str] = {}

    async def fetch_changed(self, path: str) -> Any:
        """Fetch JSON, None when unchanged. Raises ApiClientError."""
        headers = {"If-None-Match": self._etags[path]} if path in self._etags else {}
        status, body, etag = await self._fetch(path, headers)
        if status == 304:
            return None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise ApiClientError("it answers with something else than a collector") from None
        if not isinstance(document, dict):
            raise ApiClientError("it answers with something else than a collector")
        if etag:
            self._etags[path] = etag
        return document

    async def fetch_text(self, path: str) -> str:
        """Fetch a text. Raises ApiClientError."""
        return (await self._fetch(path, {}))[1].decode(errors="replace")

    async def _fetch(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._session.get(
                    self._url + path, headers=headers, auth=self._auth, allow_redirects=False
                ) as response,
            ):
                if response.status not in (200, 304, 503):
                    raise ApiClientError(f"{path} answers {response.status}")
                body = await _read_body(response)
                return response.status, body, response.headers.get("ETag", "")
        except TimeoutError:
            raise ApiClientError(f"no answer in {DEADLINE_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            cure = "name the address of its page by --url, and see that `serve` runs"
            raise ApiClientError(f"no answer ({reason}): {cure}") from None

    async def read_events(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield (name, data), ("", None) if idle. Raises ApiClientError at the end."""
        try:
            async with (
                asyncio.timeout(DEADLINE_S) as timeout,
                self._session.get(f"{self._url}/api/v1/stream", allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise ApiClientError(f"the stream answers {response.status}")
                timeout.reschedule(None)
                name = ""
                while raw := await _read_line(response):
                    line = raw.decode(errors="replace").rstrip("\n")
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        yield name, _parse_data(line.removeprefix("data: "))
                    elif line.startswith(":"):
                        yield "", None
        except TimeoutError:
            raise ApiClientError("the stream fell silent") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ApiClientError(f"the stream broke ({type(error).__name__})") from None
        raise ApiClientError("the stream ended")


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiClientError(f"it answers with more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _read_line(response: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(STREAM_TIMEOUT_S):
        return await response.content.readline()


def _parse_data(json_text: str) -> Any:
    try:
        return json.loads(json_text)
    except (ValueError, RecursionError):
        return {}


@asynccontextmanager
async def open_client(url: str, password: str) -> AsyncIterator[ApiClient]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        timeout=timeout,
        trust_env=True,
        read_bufsize=_MAX_LINE_BYTES,
        auto_decompress=False,  # a small answer could unpack to any size
        headers={"Accept-Encoding": "identity"},
    ) as session:
        yield ApiClient(session, url, password)


async def refresh_model(client: ApiClient, model: WorldModel, *, with_metrics: bool) -> None:
    """Fetch everything that may have changed. Raises ApiClientError."""
    status = await client.fetch_changed("/api/v1/status")
    if status is not None:
        with _reject_other_versions():
            model.apply_status(status)
    for state in OPEN_STATES:
        document = await client.fetch_changed(f"/api/v1/incidents?state={state}&limit=50")
        if document is not None:
            with _reject_other_versions():
                model.apply_incidents(document["incidents"], state)
    readiness = await client.fetch_changed("/readyz")
    if readiness is not None:
        model.problems = [str(problem) for problem in readiness.get("problems", ())]
    if with_metrics:
        model.metrics = parse_metrics(await client.fetch_text("/metrics"))


def apply_event(model: WorldModel, name: str, data: Any) -> bool:
    """Apply an event; return False when everything must be fetched again."""
    if name == "resync":
        return False
    with _reject_other_versions():
        if name == "cell":
            model.apply_cell(data)
        elif name == "coverage":
            model.apply_coverage(data)
        elif name == "incident":
            model.apply_incident(data)
    return True


@contextmanager
def _reject_other_versions() -> Iterator[None]:
    """Raise ApiClientError for data of another version."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ApiClientError("it speaks another edition's words") from None


def parse_metrics(metrics_text: str) -> dict[str, float]:
    """Sum the relevant metrics by name."""
    sums: dict[str, float] = {}
    for line in metrics_text.splitlines():
        metric_name = line.partition(" ")[0].partition("{")[0]
        if metric_name in _METRIC_NAMES:
            try:
                sums[metric_name] = sums.get(metric_name, 0.0) + float(line.rpartition(" ")[2])
            except ValueError:
                continue
    return sums


async def fetch_snapshot(url: str, password: str) -> str:
    """Fetch the present state once, as JSON. Raises ApiClientError."""
    model = WorldModel()
    async with open_client(url, password) as client:
        await refresh_model(client, model, with_metrics=bool(password))
    return model.format_json(url)
