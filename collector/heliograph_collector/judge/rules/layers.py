"""Layer by layer, from the lookup up: what fails here and works at the control.

Strengths say how often such a failure is interference and no accident, for one measurement alone;
that many vantages agree is weighed later, by the rollup.
"""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, signs
from heliograph_collector.judge.signs import Sign


def _dns(name: str, word: Failure, says: str, strength: float, backed: float) -> Rule:
    """A lookup that failed here alone; surer when another resolver here knows better."""
    return Rule(
        f"dns.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.RESOLVE,
        word=word,
        needs=signs(Sign.CONTROL_PASSED),
        backed=(Sign.OTHERS_RESOLVED, backed),
    )


def _tcp(name: str, word: Failure, says: str, strength: float) -> Rule:
    """A connection refused in some way to addresses that the control connects to."""
    return Rule(
        f"tcp.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.CONNECT,
        word=word,
        needs=signs(Sign.CONTROL_PASSED, Sign.SHARED_ADDRESS),
        lacks=signs(Sign.UNTRIED_ADDRESS),
    )


def _tls(name: str, word: Failure, says: str, strength: float) -> Rule:
    return Rule(
        f"tls.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.TLS_HANDSHAKE,
        word=word,
        needs=signs(Sign.CONTROL_PASSED),
    )


def _http(
    name: str, word: Failure, says: str, strength: float, step: Op = Op.HTTP_ROUND_TRIP
) -> Rule:
    return Rule(
        f"http.{name}",
        BLOCKED,
        says,
        strength,
        step=step,
        word=word,
        needs=signs(Sign.CONTROL_PASSED),
    )


DNS = (
    Rule(
        "dns.bogon",
        BLOCKED,
        "The resolver answers with private or reserved addresses, the control's with public ones.",
        0.8,
        needs=signs(Sign.BOGON, Sign.CONTROL_RESOLVED),
        lacks=signs(Sign.VERIFIED),
        backed=(Sign.OTHERS_RESOLVED, 0.9),
        layer="dns",
        method="bogon",
    ),
    _dns("bogon_error", Failure.DNS_BOGON_ERROR, "The agent was told a bogon.", 0.8, 0.9),
    _dns(
        "nxdomain",
        Failure.DNS_NXDOMAIN_ERROR,
        "The resolver denies that the name exists.",
        0.7,
        0.9,
    ),
    _dns("refused", Failure.DNS_REFUSED_ERROR, "The resolver refuses this name.", 0.7, 0.85),
    _dns("servfail", Failure.DNS_SERVFAIL_ERROR, "The resolver fails on this name.", 0.5, 0.75),
    _dns("no_answer", Failure.DNS_NO_ANSWER, "The resolver knows no address.", 0.6, 0.85),
    _dns(
        "injected",
        Failure.DNS_REPLY_WITH_WRONG_QUERY_ID,
        "A reply came that answers no query of ours.",
        0.7,
        0.85,
    ),
    Rule(
        "dns.timeout",
        BLOCKED,
        "The resolver is silent on this name and another one is not.",
        0.6,
        step=Op.RESOLVE,
        word=Failure.GENERIC_TIMEOUT_ERROR,
        needs=signs(Sign.CONTROL_PASSED, Sign.OTHERS_RESOLVED),
    ),
    Rule(
        "dns.misbehaving",
        BLOCKED,
        "The resolver answers nonsense and another one does not.",
        0.5,
        step=Op.RESOLVE,
        word=Failure.DNS_SERVER_MISBEHAVING,
        needs=signs(Sign.CONTROL_PASSED, Sign.OTHERS_RESOLVED),
    ),
    Rule(
        "dns.trouble",
        UNKNOWN,
        "The resolver did not do its work, and nothing says that it was this name's fault.",
        step=Op.RESOLVE,
    ),
)

TCP = (
    _tcp("refused", Failure.CONNECTION_REFUSED, "Every address refuses.", 0.8),
    _tcp("reset", Failure.CONNECTION_RESET, "Every connection is reset before it stands.", 0.8),
    _tcp("timeout", Failure.GENERIC_TIMEOUT_ERROR, "No address answers.", 0.7),
    _tcp("host_unreachable", Failure.HOST_UNREACHABLE, "Routers say that there is no way.", 0.7),
    Rule(
        "tcp.untried",
        UNKNOWN,
        "Not every address was tried to the end.",
        step=Op.CONNECT,
        needs=signs(Sign.UNTRIED_ADDRESS),
    ),
    Rule(
        "tcp.elsewhere",
        UNKNOWN,
        "The addresses that failed are none that the control connected to.",
        step=Op.CONNECT,
    ),
)

TLS = (
    Rule(
        "tls.no_chain",
        UNKNOWN,
        "The certificate did not verify, and it was not kept.",
        step=Op.TLS_HANDSHAKE,
        needs=signs(Sign.NO_CHAIN),
    ),
    Rule(
        "tls.own_trust",
        UNKNOWN,
        "It is the server's own key: the vantage's trust store or clock is at fault.",
        step=Op.TLS_HANDSHAKE,
        needs=signs(Sign.SAME_KEY),
    ),
    Rule(
        "tls.own_clock",
        UNKNOWN,
        "The usual issuer, and not valid now: most likely the vantage's clock.",
        step=Op.TLS_HANDSHAKE,
        word=Failure.SSL_INVALID_CERTIFICATE,
        needs=signs(Sign.SAME_ISSUER),
    ),
    *(
        Rule(
            f"dns.hijack_{name}",
            BLOCKED,
            f"The resolver leads to a host nobody else names, and its certificate {says}.",
            0.85,
            step=Op.TLS_HANDSHAKE,
            word=word,
            needs=signs(Sign.CONTROL_PASSED, Sign.STRANGE_ADDRESS),
            backed=(Sign.OTHERS_RESOLVED, 0.9),
            layer="dns",
            method="hijack",
        )
        for name, word, says in (
            ("authority", Failure.SSL_UNKNOWN_AUTHORITY, "is nobody's"),
            ("hostname", Failure.SSL_INVALID_HOSTNAME, "is for another name"),
            ("certificate", Failure.SSL_INVALID_CERTIFICATE, "is not valid"),
        )
    ),
    _tls(
        "unknown_authority",
        Failure.SSL_UNKNOWN_AUTHORITY,
        "Another certificate than the control's, from an issuer that nobody trusts.",
        0.9,
    ),
    _tls(
        "wrong_hostname",
        Failure.SSL_INVALID_HOSTNAME,
        "A certificate for another name, where the control gets the right one.",
        0.7,
    ),
    _tls(
        "invalid_certificate",
        Failure.SSL_INVALID_CERTIFICATE,
        "A certificate that is not valid, where the control's is.",
        0.6,
    ),
    _tls(
        "reset_after_hello", Failure.CONNECTION_RESET, "Reset as soon as the name was sent.", 0.85
    ),
    _tls("eof_after_hello", Failure.EOF_ERROR, "Closed as soon as the name was sent.", 0.75),
    _tls(
        "timeout_after_hello",
        Failure.GENERIC_TIMEOUT_ERROR,
        "Silence after the name was sent.",
        0.75,
    ),
    _tls("alert", Failure.SSL_FAILED_HANDSHAKE, "An alert that the control does not get.", 0.5),
)

HTTP = (
    Rule(
        "http.not_http_in_tls",
        UNKNOWN,
        "Nonsense within verified TLS comes from the server itself.",
        step=Op.HTTP_ROUND_TRIP,
        word=Failure.HTTP_REQUEST_FAILED,
        needs=signs(Sign.VERIFIED),
    ),
    _http("reset_after_request", Failure.CONNECTION_RESET, "Reset once the request was sent.", 0.7),
    _http("eof_after_request", Failure.EOF_ERROR, "Closed once the request was sent.", 0.6),
    _http(
        "timeout_after_request",
        Failure.GENERIC_TIMEOUT_ERROR,
        "Silence once the request was sent.",
        0.6,
    ),
    _http("not_http", Failure.HTTP_REQUEST_FAILED, "The reply is not HTTP, the control's is.", 0.5),
    _http(
        "reset_in_body", Failure.CONNECTION_RESET, "Reset in a page in clear.", 0.6, Op.READ_BODY
    ),
    Rule(
        "http.redirect",
        BLOCKED,
        "A cleartext answer sends to a host that the control is not sent to.",
        0.65,
        needs=signs(Sign.PAGE_REDIRECTED),
        layer="http",
        method="redirect",
    ),
    Rule(
        "http.legal",
        BLOCKED,
        "The answer is 451, unavailable for legal reasons; the control's is not.",
        0.6,
        needs=signs(Sign.PAGE_LEGAL),
        layer="http",
        method="status_451",
    ),
    Rule(
        "http.diff",
        BLOCKED,
        "Another page than the control's: other status or other title, size and text.",
        0.5,
        needs=signs(Sign.PAGE_DIFFERENT),
        layer="http",
        method="other_page",
    ),
    Rule(
        "http.antibot",
        UNKNOWN,
        "The server turns robots away.",
        needs=signs(Sign.PAGE_ANTIBOT),
    ),
    Rule(
        "http.server_error",
        UNKNOWN,
        "The server is in trouble.",
        needs=signs(Sign.PAGE_SERVER_ERROR),
    ),
    Rule(
        "http.dynamic",
        UNKNOWN,
        "The pages differ, and nothing in them is firm enough to compare.",
        needs=signs(Sign.PAGE_DYNAMIC),
    ),
)

LAYERS: tuple[Rule, ...] = (*DNS, *TCP, *TLS, *HTTP)
