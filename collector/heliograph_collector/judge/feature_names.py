"""The vocabulary of the decision table: what is true of a vantage's sight and the control's."""

from enum import Enum, auto


class Feature(Enum):
    """Each is established once, in features.py; rules only combine them."""

    # the vantage
    NOT_MEASURED = auto()
    NO_STEPS = auto()
    INTERRUPTED = auto()
    LOCAL_FAILURE = auto()
    IPV6_FAILURE = auto()  # which counts only without IPv4, and where IPv6 works on both sides
    OFFLINE = auto()
    CAPTIVE = auto()
    NO_RESOLVER = auto()
    DOMESTIC_ONLY = auto()
    LINK_UNKNOWN = auto()
    # how far it got
    RESOLVED = auto()
    CONNECTED = auto()
    VERIFIED = auto()  # a TLS handshake whose chain and name verified
    ANSWERED = auto()  # HTTP
    PROTOCOL_ANSWERED = auto()  # a message in a named protocol was answered in that protocol
    AS_FAR_AS_CONTROL = auto()
    FAILED = (
        auto()
    )  # the deepest step failed on every connection, in a word that can be interference
    SLOW_BODY = auto()
    TRUNCATED_BODY = auto()
    FROZEN = auto()  # the body came quickly, then not at all, where the control's went on
    REDIRECT_UNFOLLOWED = auto()  # a redirect that the control followed and the vantage did not
    REDIRECT_ENDLESS = auto()  # the last redirect that was followed only sends on once more
    # lookups and addresses
    OTHERS_RESOLVED = auto()  # the same vantage got addresses by another resolver
    BOGON = auto()  # every address is from private or reserved space, none of the control's is
    BOGON_EVERYWHERE = auto()  # all of the control's are too
    NAME_GONE = (
        auto()
    )  # the control is told that there is no such name, and here there are addresses
    CONTRADICTED = auto()  # one query got replies that cannot both be true
    SPLIT_ANSWERS = (
        auto()
    )  # plain lookups agree on other addresses than sealed ones and the control
    UNKNOWN_ADDRESS = auto()  # neither the control nor an independent resolver gave one like it
    VALIDATED = auto()  # the right certificate was shown there, from here or from the control
    FALSE_ADDRESS = auto()  # the wrong certificate there is the host's own, not the vantage's trust
    OTHERS_WORK = auto()  # from here, an address that others gave gets past the step that failed
    SHARED_ADDRESS = auto()  # the control did connect to one of those that failed, or next to it
    CONTROL_ADDRESS_UNKNOWN = auto()  # the control did connect, and does not tell where
    UNTRIED_ADDRESS = auto()  # an address answered and not tried to a conclusion
    # certificates
    NO_CHAIN = auto()
    SAME_KEY = auto()  # the leaf has the key that verified at the control
    SAME_ISSUER = auto()
    FORGED_FOR_HOST = auto()  # signed by nobody known, and made out to the host that was asked for
    OWN_INTERCEPTOR = auto()  # signed by a program or box of the vantage's own house
    # the control
    CONTROL_MISSING = auto()
    CONTROL_STALE = auto()
    CONTROL_NOT_ONLINE = auto()
    CONTROL_REDIRECTED_AWAY = auto()  # it was redirected elsewhere
    CONTROL_RESOLVED = auto()
    CONTROL_PASSED = auto()  # the step that failed at the vantage
    CONTROL_FAILED = (
        auto()
    )  # at that step or an earlier one; where the vantage did not fail, at all
    CONTROL_BODY = auto()  # it read the body to its end
    # cleartext pages
    PAGE_SAME = auto()
    PAGE_DIFFERENT = auto()
    PAGE_REDIRECTED = auto()
    PAGE_LEGAL = auto()
    PAGE_BROKEN = auto()  # a redirect that names no host
    PAGE_BLOCK = auto()  # a known page of blocking
    PAGE_FOREIGN = auto()  # any of the three above, or one that is different
    PAGE_PARKED = auto()
    PAGE_FILTER = auto()  # of a product that also filters schools and offices
    PAGE_ANTIBOT = auto()
    PAGE_SERVER_ERROR = auto()
    PAGE_DYNAMIC = auto()
