"""ClickHouse's HTTP interface, as far as we use it, over an embedded engine.

    python -m support.clickhouse_front DIRECTORY

Prints its port. It is no ClickHouse server: it shows that the client's HTTP path is wired right.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

import chdb
from clickhouse_connect.driver._backend.chdb_backend import CHDB_TRANSPORT_SETTINGS

from support.zstd_library import zstd

NO_SETTINGS = {"query"} | CHDB_TRANSPORT_SETTINGS

ENGINE = Lock()


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        try:
            with ENGINE:
                answer = run(asked, body)
        except RuntimeError as error:
            code = str(error).partition("Code: ")[2].partition(".")[0]
            self._answer(500, str(error).encode(), ("X-ClickHouse-Exception-Code", code))
        else:
            self._answer(200, answer, ("X-ClickHouse-Format", "Native"))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "zstd":
            return zstd.ZstdDecompressor().decompress(body)
        return body

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, which a client keeps; one query at a time."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: some tests kill a client during its request."""


def run(asked: dict[str, str], body: bytes) -> bytes:
    """Run one request on a new connection, as a server without sessions would."""
    connection = chdb.connect(sys.argv[1])
    try:
        for name, value in asked.items():
            if name not in NO_SETTINGS and not name.startswith("param_"):
                connection.query(f"SET {name} = '{value}'", "TabSeparated")
        if asked.get("database"):
            connection.query(f"USE {asked['database']}", "TabSeparated")
        given = {k[6:]: v for k, v in asked.items() if k.startswith("param_")}
        if "query" not in asked:
            return connection.query(body.decode(), "TabSeparated", params=given).bytes() or b""
        with tempfile.NamedTemporaryFile() as data:  # an insert's rows come as the body
            data.write(body)
            data.flush()
            insert, _, form = asked["query"].rpartition(" FORMAT ")
            text = f"{insert} FROM INFILE '{data.name}' FORMAT {form}"
            return connection.query(text, "TabSeparated").bytes() or b""
    finally:
        connection.close()


@contextmanager
def open_front(folder: Path) -> Iterator[int]:
    """Run the front in its own process; yield its port."""
    front = subprocess.Popen(
        [sys.executable, "-m", "support.clickhouse_front", folder],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert front.stdout is not None
    try:
        yield int(front.stdout.readline())
    finally:
        front.kill()
        front.wait(240)
        front.stdout.close()


def main() -> None:
    anchor = chdb.connect(sys.argv[1])  # keeps the engine alive between requests
    server = Server(("127.0.0.1", 0), Front)
    print(server.server_port, flush=True)
    try:
        server.serve_forever()
    finally:
        anchor.close()


if __name__ == "__main__":
    main()
