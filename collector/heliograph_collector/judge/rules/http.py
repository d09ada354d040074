"""Rules on pages: whether a page came and, in cleartext, equals the control's."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import (
    BLOCKED,
    UNKNOWN,
    Rule,
    doubt_rule,
    failed_step_rule,
)

HTTP = (
    Rule(
        "http.not_http_in_tls",
        UNKNOWN,
        "An answer within verified TLS that is not HTTP comes from the server itself.",
        step=Op.HTTP_ROUND_TRIP,
        failure=Failure.HTTP_REQUEST_FAILED,
        needs={Feature.VERIFIED},
    ),
    Rule(
        "http.control_in_trouble",
        UNKNOWN,
        "The control was answered by a gateway whose server failed (500, 502 or 504): a server in "
        "trouble breaks off as well.",
        step=Op.HTTP_ROUND_TRIP,
        needs={Feature.CONTROL_IN_TROUBLE},
    ),
    *(
        failed_step_rule(f"http.{name}", Op.HTTP_ROUND_TRIP, failure, strength, says)
        for name, failure, strength, says in (
            ("reset_after_request", Failure.CONNECTION_RESET, 0.7, "Reset after the request."),
            ("eof_after_request", Failure.EOF_ERROR, 0.6, "Closed after the request."),
            (
                "timeout_after_request",
                Failure.GENERIC_TIMEOUT_ERROR,
                0.6,
                "Silence after the request.",
            ),
            (
                "not_http",
                Failure.HTTP_REQUEST_FAILED,
                0.5,
                "The reply is not HTTP, the control's is.",
            ),
        )
    ),
    failed_step_rule(
        "http.reset_in_body",
        Op.READ_BODY,
        Failure.CONNECTION_RESET,
        0.6,
        "Reset within a cleartext page.",
    ),
    Rule(
        "http.frozen",
        BLOCKED,
        "The body came fast, stopped after some tens of kilobytes and stayed silent, where the "
        "control's continued.",
        0.5,
        step=Op.READ_BODY,
        failure=Failure.GENERIC_TIMEOUT_ERROR,
        needs={Feature.FROZEN, Feature.CONTROL_PASSED},
        method="frozen",
    ),
    Rule(
        "http.barred",
        BLOCKED,
        "A short page with nothing of the site names an authority or a law; TLS is cut at "
        "the same address, at which a control's passes.",
        0.6,
        needs={Feature.AUTHORITY_NAMED, Feature.TLS_CUT_BESIDE},
        lacks={Feature.PAGE_BLOCK},
        layer="http",
        method="block_page",
    ),
    Rule(
        "http.notice_landing",
        BLOCKED,
        "A cleartext answer redirects to a notice of a ban, to which the control is not "
        "redirected.",
        0.65,
        needs={Feature.NOTICE_LANDING},
        layer="http",
        method="block_page",
    ),
    *(
        Rule(f"http.{name}", BLOCKED, says, strength, needs={page}, layer="http", method=method)
        for name, page, strength, method, says in (
            (
                "block_page",
                Feature.PAGE_BLOCK,
                0.9,
                "block_page",
                "A known block page, which the control does not get.",
            ),
            (
                "redirect_inside",
                Feature.PAGE_INSIDE,
                0.65,
                "redirect",
                "A cleartext answer redirects to an address in private space.",
            ),
            (
                "broken_redirect",
                Feature.PAGE_BROKEN,
                0.4,
                "broken_redirect",
                "A cleartext answer redirects to no host at all, and the control gets a page.",
            ),
        )
    ),
    Rule(
        "http.shared_page",
        BLOCKED,
        "The page has the words of a notice or names an authority, and several lines of the "
        "network get it in place of unrelated sites; nobody abroad does.",
        0.6,
        needs={Feature.PAGE_SHARED},
        layer="http",
        method="block_page",
    ),
    doubt_rule(
        "http.redirect",
        "A cleartext answer redirects to a host that the control is not redirected to: the site's "
        "own choice for this place, or a page that no list knows.",
        Feature.PAGE_REDIRECTED,
    ),
    doubt_rule(
        "http.legal",
        "The answer is 451, unavailable for legal reasons; the site itself may say so.",
        Feature.PAGE_LEGAL,
    ),
    doubt_rule(
        "http.diff",
        "Another page than the control's: other status or other title, size and text. A difference "
        "alone does not tell who made it.",
        Feature.PAGE_DIFFERENT,
    ),
    doubt_rule(
        "http.notice",
        "A short page in place of the control's, with the words of a ban by an authority, which no "
        "list has: a notice, or news of a ban.",
        Feature.PAGE_NOTICE,
    ),
    doubt_rule("http.antibot", "The server rejects robots.", Feature.PAGE_ANTIBOT),
    doubt_rule("http.server_error", "The server reports an error.", Feature.PAGE_SERVER_ERROR),
    doubt_rule("http.parked", "The name is for sale, or was.", Feature.PAGE_PARKED),
    doubt_rule(
        "http.filter",
        "A filter of the kind that schools and offices run as well.",
        Feature.PAGE_FILTER,
    ),
    doubt_rule(
        "http.dynamic",
        "The pages differ, and nothing in them is stable enough to compare.",
        Feature.PAGE_DYNAMIC,
    ),
)
