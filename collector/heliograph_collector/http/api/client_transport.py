"""A typed client of a Heliograph collector's public API, in one file.

It needs Python 3.11 and no other library. Save it beside your script:

    curl -o heliograph_client.py https://HOST/client.py

Which services were blocked in Kazakhstan in January 2022, when, and on which operators?

    from heliograph_client import Client

    client = Client("https://HOST")
    since, until = "2022-01-01", "2022-01-31"
    country = client.get_history(country="KZ", since=since, until=until)
    for service in sorted({row["service"] for row in country["rows"] if row["service"]}):
        networks = client.get_history(country="KZ", service=service, since=since, until=until)
        for row in networks["rows"]:
            for run in row["runs"]:
                if run["state"] == "blocked":
                    print(service, run["since"], run["until"], f"AS{row['asn']}", row["operator"])

A time without a run has no data, or too little: it is no sign that all was well. Runs are in steps
of `bin_s` seconds, an hour for up to seven days; a step is blocked if a part of it was. Times are
UTC, `license` is that of the answer. Other projects' results, day by day under their licenses, may
help where no volunteer of ours measured:

    for cell in client.get_imported(country="KZ", since=since, until=until)["cells"]:
        if cell["blocked"] > cell["reachable"] + cell["partial"]:
            print(cell["test_name"], cell["target"], cell["start"], f"AS{cell['asn']}")

Each method sends one request, and never repeats it.
"""

from __future__ import annotations  # types below may follow those that name them

import json
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

MAX_BYTES = 64 << 20  # assumed: the largest answers have some megabytes
TIMEOUT_S = 30.0


class ApiError(Exception):
    """A refusal, or no answer; str() describes what to change.

    Attributes:
        status: HTTP status; 0 where no answer came.
        retry_after_s: Seconds until the next try, by the collector; None if unknown.
    """

    def __init__(self, message: str, status: int = 0, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class HttpClient:
    """Requests to one collector, with limits of time and size."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        """Take the address of a collector, as in https://heliograph.example.

        Raises:
            ValueError: The address is none of http or https.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is no address: say https://HOST")
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    def fetch(self, path: str, query: Mapping[str, object]) -> object:
        """Return the JSON answer; values of None are not sent. Raises ApiError."""
        given = {name: value for name, value in query.items() if value is not None}
        address = f"{self._url}{path}" + (f"?{urlencode(given)}" if given else "")
        # Of this class's own scheme, http or https, whatever the path says.
        request = Request(address, headers={"Accept": "application/json"})  # noqa: S310
        try:
            with urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 -- as above
                body = answer.read(MAX_BYTES + 1)
        except HTTPError as error:
            with error:
                raise _describe_refusal(error, address) from None
        except (OSError, HTTPException) as error:
            raise ApiError(f"{address} does not answer: {error}") from error
        if len(body) > MAX_BYTES:
            raise ApiError(f"{address} answers with more than {MAX_BYTES} bytes; ask for less.")
        try:
            return json.loads(body)
        except ValueError as error:
            raise ApiError(f"{address} answers with something other than JSON.") from error

    @staticmethod
    def quote(value: str) -> str:
        """Quote a part of a path."""
        return quote(value, safe="")


def _describe_refusal(error: HTTPError, address: str) -> ApiError:
    """Make an error of a problem document (RFC 9457)."""
    try:
        problem = json.loads(error.read(MAX_BYTES))
        message = f"{problem['title']}: {problem['detail']}"
    except (ValueError, LookupError, TypeError, OSError):
        message = f"{address} answers with status {error.code}."
    wait = error.headers.get("Retry-After", "")
    return ApiError(message, error.code, int(wait) if wait.isdigit() else None)
