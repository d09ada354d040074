"""What people read: every word there is, lines that fit and cannot be hijacked, a fair sentence."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate, Dns, DnsAnswer, Http, Observation, Tcp, Tls
from heliograph_agent.cli.steps import STEPS, Answer, answer_of, closing, printable, table

RESOLVED = Observation(
    operation=Operation.RESOLVE,
    started_us=0,
    duration_us=12_000,
    dns=Dns(
        engine="system",
        resolver="",
        name="www.example.test",
        query_type="A",
        answers=(DnsAnswer(type="A", data="192.0.2.1"),),
    ),
)

BLAME = "Who or what is to blame, one place alone cannot tell."


def connect(failure: Failure | None = None, endpoint: str = "") -> Observation:
    return Observation(
        operation=Operation.CONNECT,
        started_us=20_000,
        duration_us=1_500_000,
        failure=failure,
        endpoint=endpoint,
        tcp=Tcp(address="2001:db8::1", port=443),
    )


def hello(failure: Failure | None = None, alert: int | None = None) -> Observation:
    leaf = Certificate(
        sha256="", spki_sha256="", subject="CN=x", issuer="CN=Evil", not_before_s=0, not_after_s=1
    )
    return Observation(
        operation=Operation.TLS_HANDSHAKE,
        started_us=30_000,
        duration_us=0,
        failure=failure,
        tls=Tls(server_name="", version="TLSv1.3", alert=alert, chain=(leaf,)),
    )


def page(operation: Operation, failure: Failure | None = None, title: str = "Hi") -> Observation:
    http = Http(
        method="GET", url="http://x/", status=302, location="/y", title=title, body_bytes=12_345
    )
    return Observation(
        operation=operation, started_us=40_000, duration_us=0, failure=failure, http=http
    )


def test_each_step_has_its_line() -> None:
    seen = [
        RESOLVED,
        connect(),
        hello(),
        page(Operation.HTTP_ROUND_TRIP),
        page(Operation.READ_BODY),
    ]
    assert [" ".join(line.split()) for line in table(seen)] == [
        "✓ look up A www.example.test by system 192.0.2.1 12 ms",
        "✓ connect [2001:db8::1]:443 connected 1.50 s",
        "✓ TLS without a name TLSv1.3, by CN=Evil 0 ms",
        "✓ request GET http://x/ 302 Found → /y 0 ms",
        "✓ body 12,345 bytes, “Hi” 0 ms",
    ]


def test_steps_of_an_endpoint_stand_together_under_its_name() -> None:
    seen = [connect(endpoint="b"), connect(endpoint="a"), connect(endpoint="b")]
    assert [line.strip() for line in table(seen) if not line.startswith("  ")] == ["b", "a"]


@pytest.mark.parametrize("columns", [64, 80, 100, 200])
def test_lines_fit_the_terminal(columns: int) -> None:
    long = "https://www.example.test/" + "x" * 300
    seen = [connect(), page(Operation.READ_BODY, title="t" * 300)]
    seen += [
        Observation(
            operation=Operation.HTTP_ROUND_TRIP,
            started_us=0,
            duration_us=9_990_000,
            http=Http(method="GET", url=long, status=999),
        )
    ]
    assert max(len(line) for line in table(seen, columns)) <= columns


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("failure", Failure)
def test_every_failure_of_every_step_can_be_said(operation: Operation, failure: Failure) -> None:
    assert operation in STEPS
    (line,) = table(
        [Observation(operation=operation, started_us=0, duration_us=0, failure=failure)]
    )
    assert "✓" not in line


def test_an_alert_is_named_by_its_number() -> None:
    (line,) = table([hello(Failure.SSL_FAILED_HANDSHAKE, alert=40)])
    assert "handshake failed (alert 40)" in line


def test_a_hostile_title_cannot_move_the_cursor() -> None:
    (line,) = table([page(Operation.READ_BODY, title="\x1b[2J\r\x9b1A\u202eevil")])
    assert line.isprintable()
    assert printable("a\nb", 10) == "a·b"
    assert printable("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("steps", "answer"),
    [
        ([RESOLVED], Answer.YES),
        ([RESOLVED, connect()], Answer.YES),
        ([RESOLVED, connect(Failure.CONNECTION_RESET)], Answer.NO),
        ([RESOLVED, connect(Failure.CONNECTION_RESET), connect()], Answer.YES),
        ([RESOLVED, connect(Failure.NETWORK_UNREACHABLE)], Answer.UNKNOWN),
        ([RESOLVED, connect(Failure.INTERRUPTED)], Answer.UNKNOWN),
        ([RESOLVED, connect(), hello(Failure.CONNECTION_RESET)], Answer.NO),
        ([connect(Failure.NETWORK_UNREACHABLE), connect(Failure.HOST_UNREACHABLE)], Answer.NO),
        ([page(Operation.HTTP_ROUND_TRIP), page(Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY)],
         Answer.NO),
        ([], Answer.UNKNOWN),
    ],
)  # fmt: skip
def test_the_deepest_step_that_was_tried_tells(steps: list[Observation], answer: Answer) -> None:
    assert answer_of(steps) is answer


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ([connect()], "Observed: it answers."),
        ([connect(Failure.CONNECTION_REFUSED)],
         "Observed: it fails (connect: connection refused). " + BLAME),
        ([connect(Failure.NETWORK_DOWN)],
         "Observed: nothing that tells; it was stopped, or this machine could not ask."),
        ([connect(endpoint="a"), connect(Failure.INTERRUPTED, "b"),
          connect(Failure.CONNECTION_RESET, "c")],
         "Observed: 1 of 3 answer, 1 does not (c), 1 could not be asked from here."),
        ([connect(Failure.CONNECTION_RESET, f"dc{n}") for n in range(8)],
         "Observed: 0 of 8 answer, 8 do not (dc0, dc1, dc2, dc3, dc4, dc5, …)."),
    ],
)  # fmt: skip
def test_the_closing_sentence_says_what_was_seen_and_blames_nobody(
    seen: list[Observation], sentence: str
) -> None:
    assert closing(seen) == sentence
