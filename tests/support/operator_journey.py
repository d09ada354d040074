"""The first steps of an operator at the console, for whoever tests what comes after them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.browser_reader import Reader
from support.programs import agent, ask, started


async def log_in(
    seen: Reader, password: str, name: str = "operator", *, right: bool = True
) -> None:
    """By the form; with `right=False` it must be turned away."""
    page = seen.page
    await seen.goto("/console")
    await page.fill("input[name=name]", name)
    await page.fill("input[name=password]", password)
    async with page.expect_navigation():
        await page.click("button")
    assert (await page.locator("text=Log out").count() == 1) == right
    if not right:
        assert "not right" in await seen.text("[role=alert]")


async def publish(seen: Reader, act: str) -> None:
    """Choose an act on an incident's page, read what it publishes, and publish it."""
    for button in (f"button[value={act}]", "button[name=publish]"):
        async with seen.page.expect_navigation():
            await seen.page.click(button)


async def invite(seen: Reader, *, uses: int = 1) -> str:
    page = seen.page
    await seen.goto("/console/invites")
    await page.fill("input[name=uses]", str(uses))
    async with page.expect_navigation():
        await page.click("text=Make invitation")
    return (await seen.text("#invite")).strip()


@contextmanager
def agents_join(line: str, state: Path) -> Iterator[None]:
    """A real agent, joined by the invitation, runs inside the block."""
    ask(agent("join", line, "--yes", "--country", "KZ", "--access", "fixed", "--state", state))
    with started(agent("run", "--state", state), state.with_suffix(".log")):
        yield
