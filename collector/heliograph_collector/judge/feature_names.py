"""Names of all features that the decision table reads."""

from enum import Enum, auto


class Feature(Enum):
    """Feature that features.py establishes once and that rules combine."""

    __hash__ = object.__hash__  # Enum's own is of the name, in Python, for each set of features

    # the vantage
    NOT_MEASURED = auto()
    NO_STEPS = auto()
    INTERRUPTED = auto()
    LOCAL_FAILURE = auto()
    IPV6_FAILURE = auto()  # counts only without IPv4 and where IPv6 works on both sides
    OFFLINE = auto()
    CAPTIVE = auto()
    NO_RESOLVER = auto()
    DOMESTIC_ONLY = auto()
    LINK_UNKNOWN = auto()
    # how far the vantage got
    RESOLVED = auto()
    CONNECTED = auto()
    VERIFIED = auto()  # a TLS handshake whose chain and name verified
    ANSWERED = auto()  # HTTP
    PROTOCOL_ANSWERED = auto()  # a message in a named protocol was answered in that protocol
    AS_FAR_AS_CONTROL = auto()
    # the deepest step failed on every connection, with a failure that can be interference
    FAILED = auto()
    UNCLEAR_FAILURE = auto()  # a step over a connection failed in a way that nobody has a word for
    SLOW_BODY = auto()
    TRUNCATED_BODY = auto()
    FROZEN = auto()  # the body came fast and then stopped; the control's body continued
    REDIRECT_UNFOLLOWED = auto()  # the control followed this redirect and the vantage did not
    REDIRECT_ENDLESS = auto()  # the last page in the chain redirects again
    # lookups and addresses
    SEALED_RESOLVED = auto()  # an encrypted lookup of the same vantage got addresses
    SEALED_AGREES = auto()  # an encrypted lookup of the same vantage agrees with the system's
    # other lookups of the vantage got public addresses, and none near the system's
    OTHERS_CONTRADICT = auto()
    PLAIN_RESOLVED = auto()  # another plain lookup of the vantage got public addresses
    RESOLVER_ANSWERS = auto()  # a plain resolver that was silent answers for other names
    NO_ROUTE = auto()  # all other lookups failed by the vantage's own system
    ACCEPTS_OTHERS = auto()  # a failed address and port accepted another connection from here
    ALL_REFUSED = auto()  # connections and other resolvers meet one and the same refusal
    OWN_FILTER = auto()  # the answer is of a resolver that its user or household chose to filter
    RESOLVER_LIES = auto()  # the answer is odd, and so are the resolver's on neutral names
    FAKE_ADDRESS = auto()  # of a local tunnel, which invents an address for every name
    BOGON = auto()  # every address is private or reserved, and none of the control's is
    BOGON_EVERYWHERE = auto()  # all of the control's addresses are private or reserved too
    PRIVATE_AMONG_OTHERS = auto()  # one of the name's addresses elsewhere is; the vantage got none
    NAME_GONE = auto()  # the control's resolver denies the name, and the vantage got addresses
    NAME_ABSENT = auto()  # the control's resolver denies the name, whatever is at the address
    CONTRADICTED = auto()  # one query got replies that cannot both be true
    # plain lookups agree on addresses that encrypted lookups and the control do not give
    SPLIT_ANSWERS = auto()
    UNKNOWN_ADDRESS = auto()  # neither the control nor an independent resolver gave a near address
    VALIDATED = auto()  # the right certificate was shown there, to the vantage or the control
    FALSE_ADDRESS = auto()  # who answers there is somebody else, as a certificate shows
    SHARED_LEAF = auto()  # vantages of the network met its certificate under several names
    NAME_WORKS = auto()  # here, the right certificate was shown at another address of the name
    OTHERS_WORK = auto()  # here, an address from another resolver passes the failed step
    ODD_PORT = auto()  # a page's port that is not the web's; no web port of the address fails here
    UNTRIED_ADDRESS = auto()  # an address was returned and not tried to a conclusion
    BLOCK_ANSWER = auto()  # a known block address, which neither control nor sealed lookup got
    FILTER_ANSWER = auto()  # the same, of a product or an institution
    NEGOTIATION_REFUSED = auto()  # by an alert: nothing in common with the vantage's hello
    OWN_HELLO_FILTERED = auto()  # our hello was cut, which this vantage meets at such names anyway
    HELLO_MAY_BE_LOST = auto()  # silence; no hello as large is known to pass on the vantage's path
    BROWSERS_DROPPED = auto()  # ours passed; every browser's was just dropped there
    BROWSERS_IN_DOUBT = auto()  # the same, or hours ago, unseen by a control, of an app
    # certificates
    NO_CHAIN = auto()
    SAME_KEY = auto()  # the leaf has the key that verified at the control
    CHAIN_PROVEN = auto()  # the bytes of the chain prove the name by public roots after all
    SAME_ISSUER = auto()
    OWN_AUTHORITY_NAMED = auto()  # and the control's is no public authority, but a service's own
    CLOCK_OFF = auto()  # the control's certificate is not valid at the vantage's own time
    FORGED_FOR_HOST = auto()  # issuer unknown, subject is the requested host
    OWN_INTERCEPTOR = auto()  # signed by local software or a local middlebox
    PRIVATE_ISSUER = auto()  # no public authority signed it, as far as the chain shows
    STATE_ISSUER = auto()  # several vantages of the network met this issuer, or it is known as such
    # the control
    CONTROL_MISSING = auto()
    CONTROL_STALE = auto()
    CONTROL_NOT_ONLINE = auto()
    CONTROL_REDIRECTED_AWAY = auto()  # the server redirected the control to another host
    CONTROL_RESOLVED = auto()
    CONTROL_PASSED = auto()  # the step that failed at the vantage, at the same endpoint
    WEAK_LOOK = auto()  # it passed the step, and does not report that it was at this endpoint
    CONTROL_WORKS = auto()  # the failed step passed for the same name and port, wherever
    # the same endpoint, or all of the control's own, at the failed step or an earlier one; at any
    # step if the vantage did not fail
    CONTROL_FAILED = auto()
    DEAD_EDGE = auto()  # the endpoint fails for the control too, and another one works for it
    CONTROL_IN_TROUBLE = auto()  # its page is a gateway's, of which the server behind fails
    CONTROL_BODY = auto()  # the control read the whole body
    # cleartext pages
    PAGE_SAME = auto()
    PAGE_OWN = auto()  # and by more than its size or its status of an error
    PAGE_DIFFERENT = auto()
    PAGE_REDIRECTED = auto()
    PAGE_LEGAL = auto()
    PAGE_BROKEN = auto()  # a redirect without a host
    PAGE_BLOCK = auto()  # a known block page
    PAGE_SHARED = auto()  # that the network shows in place of unrelated sites
    PAGE_NOTICE = auto()  # words of a ban that no list has
    AUTHORITY_NAMED = auto()  # by a short page that has nothing of the site, in any words
    TLS_CUT_BESIDE = auto()  # at the page's own address, where a control's handshake passed
    NOTICE_LANDING = auto()  # a redirect in clear ended at a notice that the control was not led to
    BLOCK_PAGE_ALONE = auto()  # a known block page, and no control's page to compare it with
    PAGE_INSIDE = auto()  # a redirect to an address in private space
    PAGE_FOREIGN = auto()  # DIFFERENT, REDIRECTED, INSIDE, LEGAL, BLOCK or NOTICE
    PAGE_PARKED = auto()
    PAGE_FILTER = auto()  # of a product that schools and offices use too
    PAGE_ANTIBOT = auto()
    PAGE_SERVER_ERROR = auto()
    PAGE_DYNAMIC = auto()
