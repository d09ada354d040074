"""Rules that come before any layer: proof by TLS, doubts and failures everywhere.

The order matters: not run, proven by TLS, the vantage's link, the control, doubt, success that
agrees with the control, contradiction of the control, failures that the control shares.
"""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import (
    BLOCKED,
    DOWN,
    REACHABLE,
    UNKNOWN,
    Rule,
    doubt_rule,
)

NOT_RUN_CHECKS = (
    doubt_rule("none.not_measured", "The task could not run at all.", Feature.NOT_MEASURED),
    doubt_rule("none.no_steps", "Nothing was tried.", Feature.NO_STEPS),
)

# Names that pass for our own hello alone; `hello` has compared it with a control's.
BROWSERS = (
    Rule(
        "tls.browsers_dropped",
        BLOCKED,
        "Our own TLS hello passes, and every browser's is dropped at this name, as this vantage "
        "just saw; a control's pass at the same address.",
        0.7,
        needs={Feature.VERIFIED, Feature.BROWSERS_DROPPED},
        lacks={
            Feature.FAILED,
            Feature.CONTROL_MISSING,
            Feature.CONTROL_NOT_ONLINE,
            Feature.CONTROL_STALE,
        },
        layer="tls",
        method="hello_fingerprint",
    ),
    Rule(
        "tls.browsers_in_doubt",
        UNKNOWN,
        "Our own TLS hello passes where every browser's was dropped: hours ago, unseen by a "
        "control, or where ours is smaller; or an app opens this name, whose hello is neither.",
        needs={Feature.VERIFIED, Feature.BROWSERS_IN_DOUBT},
        lacks={Feature.FAILED},
    ),
)

# No link and no control can refute these: a verified handshake proves who answered.
PROVEN = (
    Rule(
        "down.endless",
        DOWN,
        "It redirects without end, for the control too.",
        0.8,
        needs={Feature.REDIRECT_ENDLESS, Feature.CONTROL_FAILED},
        layer="http",
        method="endless_redirect",
    ),
    Rule(
        "http.throttled",
        UNKNOWN,
        "The body stopped coming while the control read it whole: perhaps throttled. One slow "
        "transfer does not tell a slow network from a slowed service, so it stays unknown.",
        needs={Feature.SLOW_BODY, Feature.CONTROL_BODY},
        lacks={Feature.FROZEN},
        layer="http",
        method="throttled?",
    ),
    Rule(
        "http.slow_body",
        UNKNOWN,
        "The body did not come in time, and the control's is not known to.",
        needs={Feature.SLOW_BODY},
        lacks={Feature.FROZEN},
        method="slow_body",
    ),
    Rule(
        "http.cut_body",
        UNKNOWN,
        "The body broke off: a poor link does that as well as a censor.",
        needs={Feature.TRUNCATED_BODY},
        method="truncated_body",
    ),
    Rule(
        "reached.https",
        REACHABLE,
        "TLS verified and HTTP was answered; what it says is the server's business.",
        0.98,
        needs={Feature.VERIFIED, Feature.ANSWERED},
        lacks={Feature.FROZEN},
        needs_no_control=True,
    ),
    Rule(
        "reached.tls",
        REACHABLE,
        "The expected certificate was shown and verified.",
        0.95,
        needs={Feature.VERIFIED},
        lacks={Feature.FAILED},
        needs_no_control=True,
    ),
)

LINK_CHECKS = (
    doubt_rule("link.offline", "The vantage itself was offline.", Feature.OFFLINE),
    doubt_rule("link.captive", "A captive portal answered for every server.", Feature.CAPTIVE),
    doubt_rule(
        "link.no_resolver", "The vantage could resolve no name at all.", Feature.NO_RESOLVER
    ),
    doubt_rule(
        "link.domestic_only",
        "Everything abroad was out of reach: the network is cut, not this target.",
        Feature.DOMESTIC_ONLY,
    ),
    doubt_rule(
        "link.unknown", "It is unknown whether the vantage had a link.", Feature.LINK_UNKNOWN
    ),
)

_OWN_CERTIFICATES = frozenset(
    {Feature.OWN_INTERCEPTOR, Feature.CLOCK_OFF, Feature.SAME_KEY, Feature.CHAIN_PROVEN}
)
# The server that answers so is known, with or without a control.
FINGERPRINTS = (
    Rule(
        "dns.fingerprint",
        BLOCKED,
        "The resolver gives an address or alias that a state or a provider answers for blocked "
        "names; neither the control nor a sealed lookup gets it.",
        0.9,
        needs={Feature.BLOCK_ANSWER},
        lacks={Feature.VERIFIED, Feature.VALIDATED, Feature.PAGE_OWN},
        layer="dns",
        method="block_address",
        needs_no_control=True,
    ),
    *(
        Rule(
            f"dns.fingerprint_{name}",
            BLOCKED,
            "The resolver gives such an address, sealed lookups another; the host shows the "
            f"certificate of somebody else, {says}, whatever it shows to a control.",
            0.85,
            step=Op.TLS_HANDSHAKE,
            failure=failure,
            needs={Feature.BLOCK_ANSWER, Feature.SEALED_RESOLVED, Feature.OTHERS_CONTRADICT},
            lacks={*_OWN_CERTIFICATES, Feature.VERIFIED, Feature.SEALED_AGREES},
            layer="dns",
            method="block_address",
        )
        for name, failure, says in (
            ("authority", Failure.SSL_UNKNOWN_AUTHORITY, "by an untrusted issuer"),
            ("hostname", Failure.SSL_INVALID_HOSTNAME, "for another name"),
        )
    ),
    Rule(
        "dns.filter",
        UNKNOWN,
        "The resolver gives an address of a filter that schools, offices and households choose.",
        needs={Feature.FILTER_ANSWER},
        lacks={Feature.VERIFIED, Feature.VALIDATED},
    ),
    Rule(
        "http.fingerprint",
        BLOCKED,
        "A known block page of a state or a provider, at most 16 KiB long; there is no control's "
        "page.",
        0.7,
        needs={Feature.BLOCK_PAGE_ALONE},
        lacks={Feature.VERIFIED, Feature.NAME_GONE},
        layer="http",
        method="block_page",
        needs_no_control=True,
    ),
)

CONTROL_CHECKS = (
    doubt_rule("control.missing", "No control to compare with.", Feature.CONTROL_MISSING),
    doubt_rule(
        "control.not_online", "The control's own link was in doubt.", Feature.CONTROL_NOT_ONLINE
    ),
    doubt_rule(
        "control.stale",
        "The control's result is more than 15 minutes away.",
        Feature.CONTROL_STALE,
    ),
    doubt_rule(
        "control.other_way",
        "The server redirected the control elsewhere, so the control has not seen this page.",
        Feature.CONTROL_REDIRECTED_AWAY,
    ),
)

_INCONCLUSIVE = frozenset((Feature.FAILED, Feature.AS_FAR_AS_CONTROL))
DOUBT = (
    doubt_rule(
        "none.interrupted",
        "The agent was stopped, paused or changed network in the middle.",
        Feature.INTERRUPTED,
        lacks=_INCONCLUSIVE,
    ),
    doubt_rule(
        "none.local",
        "Only the vantage's own system failed.",
        Feature.LOCAL_FAILURE,
        lacks=_INCONCLUSIVE,
    ),
    doubt_rule(
        "none.ipv6",
        "Only IPv6 failed, and that does not count here.",
        Feature.IPV6_FAILURE,
        lacks=_INCONCLUSIVE,
    ),
    doubt_rule(
        "http.more_to_come",
        "The page only redirects, and its destination was not seen.",
        Feature.REDIRECT_UNFOLLOWED,
        lacks={Feature.FAILED, Feature.VERIFIED},
    ),
)

_BOGUS = frozenset((Feature.BOGON, Feature.BOGON_EVERYWHERE))
CONTROL_AGREED = (
    Rule(
        "reached.http",
        REACHABLE,
        "The cleartext answer is the control's, from a public address.",
        0.85,
        needs={Feature.PAGE_SAME},
        lacks={Feature.FAILED, Feature.BOGON},
    ),
    Rule(
        "reached.protocol",
        REACHABLE,
        "It answers in its own protocol, and the control got no further.",
        0.9,
        needs={Feature.PROTOCOL_ANSWERED, Feature.AS_FAR_AS_CONTROL},
        lacks={Feature.FAILED},
    ),
    Rule(
        "reached.tcp",
        REACHABLE,
        "It connects, and the control went no further.",
        0.7,
        needs={Feature.CONNECTED, Feature.AS_FAR_AS_CONTROL},
        lacks={Feature.FAILED, Feature.UNCLEAR_FAILURE, Feature.ANSWERED, *_BOGUS},
    ),
    Rule(
        "reached.dns",
        REACHABLE,
        "It resolves, and the control went no further.",
        0.6,
        needs={Feature.RESOLVED, Feature.AS_FAR_AS_CONTROL},
        lacks={Feature.FAILED, Feature.CONNECTED, *_BOGUS},
    ),
)

# Contradictions of the control, which would otherwise match FAILS_EVERYWHERE.
CONTROL_CONTRADICTED = (
    Rule(
        "down.nowhere",
        DOWN,
        "The name leads to private or reserved addresses, for the control as well.",
        0.6,
        needs={Feature.BOGON_EVERYWHERE},
        layer="dns",
        method="bogon",
    ),
    Rule(
        "dns.ghost",
        BLOCKED,
        "The name no longer exists, and yet the resolver gives an address; a second reply or a "
        "page that refuses access shows that the blocking outlived its target.",
        0.7,
        needs={Feature.NAME_GONE},
        lacks={Feature.VERIFIED},
        layer="dns",
        method="ghost",
    ),
)

# Effects of the vantage's own machine or home, and not of the network.
OWN_SIDE = (
    Rule(
        "dns.own_tunnel",
        UNKNOWN,
        "A tunnel of the vantage's own answers every name with an address that it made up; what "
        "fails beyond it is not seen from here.",
        needs={Feature.FAKE_ADDRESS},
    ),
    Rule(
        "dns.own_filter",
        UNKNOWN,
        "The vantage's own resolver answered, or a filter that its user or house chose: an advert "
        "blocker, a table of hosts, a family resolver, an office's zone or the one resolver that "
        "it passes.",
        needs={Feature.OWN_FILTER},
    ),
    Rule(
        "dns.lies_about_all",
        UNKNOWN,
        "The vantage's resolver denies or misdirects neutral names as well, so what it says of "
        "this one is no sign against it: a list of allowed names, or a portal.",
        needs={Feature.RESOLVER_LIES},
    ),
)

# "We cannot connect to it" is neither down nor blocked: a browser may open what we cannot.
UNSUPPORTED = (
    Rule(
        "tls.unsupported",
        UNKNOWN,
        "The server answers in a kind of TLS that the agent does not speak: a limit of ours.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_UNSUPPORTED,
    ),
    Rule(
        "tls.nothing_in_common",
        UNKNOWN,
        "The server finds nothing in common with our TLS, for the control too: it is up, and who "
        "offers other ciphers may open it.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.NEGOTIATION_REFUSED, Feature.CONTROL_FAILED},
    ),
)

FAILS_EVERYWHERE = (
    *UNSUPPORTED,
    *(
        Rule(f"down.{name}", DOWN, says, 0.8, step=step, needs={Feature.CONTROL_FAILED})
        for name, step, says in (
            ("dns", Op.RESOLVE, "The control cannot resolve it either."),
            ("tcp", Op.CONNECT, "The control does not get a connection either."),
            ("tls", Op.TLS_HANDSHAKE, "The control's handshake fails too, or an earlier step."),
            ("quic", Op.QUIC_HANDSHAKE, "The control's handshake fails too."),
            ("http", Op.HTTP_ROUND_TRIP, "The control gets no answer either."),
            ("protocol", Op.EXCHANGE, "The control gets no reply either."),
            ("body", Op.READ_BODY, "The control does not get the body either."),
        )
    ),
    doubt_rule(
        "dns.no_such_name",
        "The name does not exist for the control, and what the resolver gives instead fails: no "
        "page is kept from anybody. Many providers lead missing names to a search page.",
        Feature.NAME_ABSENT,
        Feature.FAILED,
        lacks={Feature.VERIFIED},
    ),
    doubt_rule(
        "control.dead_edge",
        "This address fails for the control too, and another one of the name works for it.",
        Feature.DEAD_EDGE,
    ),
    doubt_rule(
        "control.silent",
        "The control has not come to a conclusion about this step.",
        Feature.FAILED,
        lacks={Feature.CONTROL_PASSED, Feature.CONTROL_WORKS},
    ),
)

PRECONDITIONS: tuple[Rule, ...] = (
    *NOT_RUN_CHECKS,
    *BROWSERS,
    *PROVEN,
    *LINK_CHECKS,
    *FINGERPRINTS,
    *CONTROL_CHECKS,
    *DOUBT,
    *CONTROL_AGREED,
    *CONTROL_CONTRADICTED,
    *OWN_SIDE,
)
