"""schemathesis finds no answer that the OpenAPI document does not allow.

It asks the running application what the document allows, and what not: no answer may be a bug.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from heliograph_collector.http.app import build_app
from heliograph_collector.http.basic_auth import hash_password
from support.background import in_background
from support.every_answer import everything
from support.examples import IS_SOAK
from support.fake_feed import NOW_US
from support.hand_clock import HandClock
from support.web_app import serve_app

# Of each kind for each operation; the seed is fixed. The first is always the simplest one.
EXAMPLES = 3 if IS_SOAK else 2
ENDLESS = "/api/v1/stream"
# A schema cannot say that one comes before the other, that axes differ, that a day exists, that
# a cursor is one of ours, that one of country, region, network and service is needed, or that the
# region is one of the country. Which of them is tried depends on the modules loaded before:
# hypothesis takes their constants too.
NOT_BY_SCHEMA = {"since", "until", "bin", "axis_x", "axis_y", "cursor", "country", "region"}
FORGOTTEN_US = 2 * 3_600_000_000  # wrong tries of before


@pytest.fixture(scope="module")
def clock() -> HandClock:
    return HandClock(wall=NOW_US)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, clock: HandClock) -> Iterator[str]:
    """Run the application on loopback in another thread: schemathesis does not await."""
    folder = tmp_path_factory.mktemp("dumps")
    feed = everything(folder, clock=clock, operator_hash=hash_password("pass", b"s"))
    with in_background(serve_app)(build_app(feed)) as origin:
        yield origin


@pytest.mark.slow  # every operation over HTTP
@pytest.mark.parametrize("kind", ["POSITIVE", "NEGATIVE"])
def test_every_operation_answers_as_its_document_says(
    address: str, clock: HandClock, kind: str
) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.core.failures import Failure
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    wrong: dict[str, str] = {}
    asked = 0
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr] # a document that is wrong fails here
        if operation.path == ENDLESS or operation.method != "get":  # bytes have separate tests
            continue
        mode = GenerationMode[kind]

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            clock.monotonic += FORGOTTEN_US
            told = {"Authorization": "Bearer pass"} if "measurements" in case.path else {}
            answer = case.call(headers=told, timeout=60)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
            if kind == "POSITIVE" and answer.status_code == 400:
                assert answer.json()["parameter"] in NOT_BY_SCHEMA, answer.text

        try:
            with suppress(Unsatisfiable):  # whatever is asked there is right
                ask()
        except (AssertionError, BaseExceptionGroup, Failure) as error:
            wrong[f"{operation.method} {operation.path}"] = "\n".join(_sentences(error))
    assert not wrong, "\n\n".join(f"{name}\n{said}" for name, said in wrong.items())
    assert asked > EXAMPLES * 5


def _sentences(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [s for each in error.exceptions for s in _sentences(each)]
    return [str(error)[:1_500]]
