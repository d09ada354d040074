"""Send a ClientHello to a loopback server by a bare socket, and read the answer."""

import socket

from heliograph_agent.net.probe_message import ProbeReply, TlsProbeMessage

DEADLINE_S = 60.0


def ask_by_tcp(port: int, hello: TlsProbeMessage) -> ProbeReply | None:
    """Return the server's answer, or None if it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(hello.make_request())
        received = b""
        while (reply := hello.parse_reply(received)) is None:
            data = connection.recv(4096)
            if not data:
                return None
            received += data
        return reply
