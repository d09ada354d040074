"""HEAD of the console's pages."""

import pytest

from support.console_backend import Caller


@pytest.mark.parametrize("path", ["/console/fleet", "/console/stream"])
async def test_head_answers_as_get_does_and_to_the_same_people(caller: Caller, path: str) -> None:
    async with caller.client.head(path, allow_redirects=False) as refused:
        assert refused.status != 200
    await caller.log_in()
    async with caller.client.head(path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
