"""No request, however malformed, is answered by a 500."""

import asyncio
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph_collector.http import basic_auth
from support.examples import limit_examples
from support.incident_book import KEY, evening_book
from support.kazakhstan_votes import evening
from support.site import Serve, raising

PATHS = (
    *("/", "/api/v1/status", "/api/v1/timeline", "/api/v1/aggregation", "/api/v1/measurements"),
    *(
        "/api/v1/incidents",
        "/api/v1/log",
        "/api/v1/coverage",
        "/api/v1/history",
        "/api/v1/imported",
        "/charts/history.svg",
        "/charts/imported.svg",
        "/feeds/incidents.atom",
    ),
    *("/countries/KZ", "/feeds/incidents.json", "/dumps/", "/dumps/index.json", "/openapi.json"),
)
NAMES = (
    *("country", "region", "asn", "access", "service", "since", "until", "bin", "cursor", "limit"),
    *("after", "state", "kind", "format", "probe_cc", "probe_asn", "test_name", "domain", "input"),
    *("time_grain", "axis_x", "axis_y"),
)
VALUES = (
    *("KZ", "9198", "mobile", "telegram", "2022-01-05T10:00:00Z", "1m", "1d", "MTIz", "abc"),
    *("jsonl", "2022-01-05", "probe_cc", "measurement_start_day", "CSV"),
)

values = st.one_of(
    st.sampled_from(VALUES).map(str.encode),
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
pairs = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES).map(str.encode), st.binary(max_size=8)), values),
    max_size=5,
)


def written(query: list[tuple[bytes, bytes]]) -> str:
    return "&".join(f"{quote_from_bytes(a)}={quote_from_bytes(b)}" for a, b in query)


async def _raw(port: int, target: str) -> bytes:
    """Send one request by hand, so that no client normalizes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pass\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode("latin-1"))
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_fuzzed_questions(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    feed = evening().feed(
        operator_hash=basic_auth.hash_password("pass", b"s"),
        book=evening_book(),
        public_key=KEY.public,
    )
    client = await serve(feed)
    loop = asyncio.get_running_loop()
    port = client.port or 0
    statuses: dict[bytes, int] = {}

    def ask(path: str, query: list[tuple[bytes, bytes]]) -> None:
        target = f"{path}?{written(query)}"
        answer = asyncio.run_coroutine_threadsafe(_raw(port, target), loop).result(60)
        status = answer.split(b" ", 2)[1]
        statuses[status] = statuses.get(status, 0) + 1
        assert status in (b"200", b"304", b"400", b"404"), answer[:2000]
        if status.startswith(b"4"):  # 404: a name of the right form that nothing public knows
            assert b"application/problem+json" in answer

    fuzz = settings(
        max_examples=limit_examples(200),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )(given(st.sampled_from(PATHS), pairs)(ask))
    await asyncio.to_thread(fuzz)
    print(f"statuses: {statuses}")
    assert "bug while answering" not in caplog.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused_politely(serve: Serve, method: str) -> None:
    client = await serve(evening().feed())
    answer = await client.request(method, "/api/v1/status")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")
    assert answer.content_type == "application/problem+json"


async def test_a_bug_is_a_500_that_says_nothing_and_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(evening().feed(votes=raising(KeyError("secret"))))
    assert "secret" not in str(await client.problem("/api/v1/status", 500))
    assert "bug while answering" in caplog.text


async def test_what_is_not_there_is_a_problem_too(serve: Serve) -> None:
    client = await serve(evening().feed())
    for path in ("/api/v1/incidents/0123456789abcdef", "/api/v1/incidents/..%2f.."):
        await client.problem(path, 404)
    assert (await client.problem("/api/v2/status", 404))["title"] == "Not Found"
    assert (await client.get("/api/v2/status")).headers["X-Content-Type-Options"] == "nosniff"
