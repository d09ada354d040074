"""A browser's manners towards the console of a real `serve`, without a browser."""

import re

from aiohttp import ClientSession, CookieJar

from support.serve_process import Served


async def log_in(served: Served, name: str, password: str, code: str = "") -> bool:
    """Fill in the form; return whether it lets this user in."""
    origin = f"http://{served.places['http']}"
    async with ClientSession(origin, cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get("/console/login") as answer:
            token = re.search(r'name="token" value="([^"]+)"', await answer.text())
        assert token is not None
        fields = {"name": name, "password": password, "code": code, "token": token[1]}
        async with session.post(
            "/console/login", data=fields, headers={"Origin": origin}, allow_redirects=False
        ) as answer:
            return answer.status == 303
