"""Debian's real nginx on loopback, plain and TLS, one certificate per name.

    with nginx(tmp_path, {"www.example.test": ca.leaf("www.example.test")}) as web:
        url = f"https://www.example.test:{web.https}/"

A ClientHello for an unknown name is answered with the alert unrecognized_name (112).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.loopback_ca import Leaf
from support.process import server_process

_PROGRAM = "/usr/sbin/nginx"
PAGE = b"<!doctype html><html><head><title>It works here</title></head><body>ok</body></html>"


@dataclass(frozen=True, slots=True)
class Nginx:
    http: int
    https: int


@contextmanager
def nginx(
    directory: Path,
    sites: Mapping[str, Leaf],
    *,
    pages: Mapping[str, bytes] | None = None,
    directives: str = "",
    nameless: str = "",
) -> Iterator[Nginx]:
    """Run nginx with sites by name; `directives` stand in every server block.

    An example of `directives` is `location = /old { return 302 /new; }`. `nameless` is the site for
    a ClientHello with no name or an unknown one.
    """
    home = directory / "nginx"
    _write_pages(home / "pages", {"/": PAGE} | dict(pages or {}))

    def command(ports: Sequence[int]) -> Sequence[str]:
        config = home / "nginx.conf"
        config.write_text(_config(home, sites, directives, nameless, *ports))
        return (_PROGRAM, "-p", str(home), "-c", str(config), "-e", str(home / "error.log"))

    with server_process(command, 2, home / "log") as (http, https):
        yield Nginx(http, https)


def _write_pages(root: Path, pages: Mapping[str, bytes]) -> None:
    for path, body in pages.items():
        file = root / (path.lstrip("/") or "index.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)


def _config(
    home: Path,
    sites: Mapping[str, Leaf],
    directives: str,
    nameless: str,
    http: int,
    https: int,
) -> str:
    reject = f"""server {{
  listen 127.0.0.1:{https} ssl default_server;
  ssl_reject_handshake on;
}}
"""
    secure = "".join(
        f"""server {{
  listen 127.0.0.1:{https} ssl{" default_server" if name == nameless else ""};
  server_name {name};
  ssl_certificate {leaf.chain};
  ssl_certificate_key {leaf.key};
  root {home}/pages;
  {directives}
}}
"""
        for name, leaf in sites.items()
    )
    return f"""user root;
worker_processes 1;
daemon off;
master_process off;
pid {home}/pid;
events {{ worker_connections 256; }}
http {{
access_log off;
client_body_temp_path {home}/temp;
proxy_temp_path {home}/temp;
fastcgi_temp_path {home}/temp;
uwsgi_temp_path {home}/temp;
scgi_temp_path {home}/temp;
default_type text/html;
ssl_session_tickets off;
{"" if nameless else reject}{secure}server {{
  listen 127.0.0.1:{http};
  root {home}/pages;
  {directives}
}}
}}
"""
