"""An operator's first steps at the console, for tests of what follows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.browser_reader import Reader
from support.programs import agent, ask, started


async def log_in(
    seen: Reader, password: str, name: str = "operator", *, right: bool = True
) -> None:
    """Log in by the form; with `right=False` the login must be rejected."""
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
    """Choose an act on an incident's page, preview it, and publish it."""
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
    """Join a real agent by the invitation, and run it inside the block."""
    ask(agent("join", line, "--yes", "--country", "KZ", "--access", "fixed", "--state", state))
    with started(agent("run", "--state", state), state.with_suffix(".log")):
        yield
