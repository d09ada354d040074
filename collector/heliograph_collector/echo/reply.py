"""What is said to the bytes that came: themselves, or a well-formed HTTP request described.

A request counts as well-formed when no server would stumble over it: a usual method in any
capitals, an absolute path, HTTP/1.0 or 1.1, CRLF, printable ASCII (RFC 9112). All else, such as a
method nobody knows, is a line of bytes and comes back as it is.
"""

import json
import re

MAX_HEAD = 8_192
MAX_LINES = 100
_METHODS = b"GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH"
_REQUEST_LINE = re.compile(rb"(?i:" + _METHODS + rb") /[!-~]* HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*)")
_OPENING = re.compile(rb"(?i:" + _METHODS + rb") /")
_LONGEST_OPENING = len(b"OPTIONS /")


def may_be_http(received: bytes) -> bool:
    """Whether a well-formed request may begin like this, so that waiting for its end is right."""
    line, end, _ = received.partition(b"\n")
    if end:
        return line.endswith(b"\r") and _REQUEST_LINE.fullmatch(line[:-1]) is not None
    if len(received) < _LONGEST_OPENING and b" " not in received:
        return not received or received.isalpha()
    return _OPENING.match(received) is not None or _OPENING.match(received + b"/") is not None


def described(head: bytes) -> bytes | None:
    """The HTTP reply to a whole request head, None when it is not well-formed.

    The body is {"request_line": TEXT, "headers": [[NAME, VALUE], …]}, in the order and the
    capitals received; what a request may carry after its head is not read.
    """
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = [_HEADER.fullmatch(line) for line in lines[1:]]
    if not _REQUEST_LINE.fullmatch(lines[0]) or len(lines) > MAX_LINES or not all(headers):
        return None
    told = {
        "request_line": lines[0].decode("ascii"),
        "headers": [[g.decode("ascii") for g in match.groups()] for match in headers if match],
    }
    body = json.dumps(told, separators=(",", ":")).encode()
    fields = (
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Connection: close",
    )
    head_only = lines[0][:5].upper() == b"HEAD "
    return b"\r\n".join(fields) + b"\r\n\r\n" + (b"" if head_only else body)
