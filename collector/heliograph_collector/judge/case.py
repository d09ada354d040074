"""From observations to signs: everything the decision table may ask about one endpoint."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Certificate, Link
from heliograph_collector.judge.failing import Failing, failing
from heliograph_collector.judge.meaning import CERTIFICATE, DEPTH
from heliograph_collector.judge.pages import Likeness, likeness
from heliograph_collector.judge.sight import NOTHING, Sight, Step, answers, near
from heliograph_collector.judge.signs import Sign

FRESH_US = 15 * 60 * 1_000_000  # a control older than this proves nothing
ADDRESSES_ENOUGH = 2  # so many failed IPv4 addresses stand for all that the name has

LINKS = {
    Link.OFFLINE: Sign.OFFLINE,
    Link.CAPTIVE: Sign.CAPTIVE,
    Link.NO_RESOLVER: Sign.NO_RESOLVER,
    Link.DOMESTIC_ONLY: Sign.DOMESTIC_ONLY,
    Link.UNKNOWN: Sign.LINK_UNKNOWN,
}
PAGES = {
    Likeness.SAME: Sign.PAGE_SAME,
    Likeness.DIFFERENT: Sign.PAGE_DIFFERENT,
    Likeness.REDIRECTED: Sign.PAGE_REDIRECTED,
    Likeness.LEGAL: Sign.PAGE_LEGAL,
    Likeness.ANTIBOT: Sign.PAGE_ANTIBOT,
    Likeness.SERVER_ERROR: Sign.PAGE_SERVER_ERROR,
    Likeness.DYNAMIC: Sign.PAGE_DYNAMIC,
}
OWN_PROXY = ipaddress.ip_network("198.18.0.0/15")  # where local proxies invent addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One endpoint as seen from both sides, with what is known about the seeing."""

    here: Sight
    control: Sight = NOTHING
    link: Link = Link.UNKNOWN
    not_measured: bool = False
    age_us: int | None = None  # of the control, None when there is none
    control_link: Link = Link.UNKNOWN
    other_way: bool = False
    more_to_come: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """What the decision table reads."""

    signs: frozenset[Sign]
    failing: Failing | None = None
    reached: tuple[int, ...] = ()  # observations of the deepest success
    others: tuple[int, ...] = ()  # lookups that contradict the system's


def case(scene: Scene) -> Case:
    here, control = scene.here, _usable(scene)
    stopped = failing(here, control)
    signs = {
        *_vantage(scene),
        *_progress(here, control, stopped),
        *_control_state(scene),
        *_against_control(here, control, stopped),
        *_addresses(here, control, stopped),
        *_certificates(control, stopped),
        *_page(here, control),
    }
    others = tuple(s.index for s in here.other_lookups if s.ok and answers((s,)))
    return Case(frozenset(signs), stopped, _deepest(here), others)


def _usable(scene: Scene) -> Sight:
    """The control's sight, or nothing when it does not count."""
    good = not any(True for _ in _control_state(scene))
    return scene.control if good else NOTHING


def _control_state(scene: Scene) -> Iterator[Sign]:
    if scene.age_us is None:
        yield Sign.CONTROL_MISSING
    elif scene.control_link is not Link.ONLINE:
        yield Sign.CONTROL_NOT_ONLINE
    elif scene.age_us > FRESH_US:
        yield Sign.CONTROL_STALE
    elif scene.other_way:
        yield Sign.CONTROL_OTHER_WAY


def _vantage(scene: Scene) -> Iterator[Sign]:
    here = scene.here
    if scene.link is not Link.ONLINE:
        yield LINKS[scene.link]
    if scene.not_measured:
        yield Sign.NOT_MEASURED
    if not here.lookups and not here.attempts:
        yield Sign.NO_STEPS
    if Failure.INTERRUPTED in here.words:
        yield Sign.INTERRUPTED
    if any(s.local for s in _steps(here)):
        yield Sign.LOCAL_FAILURE
    if any(a.ipv6 and a.failed for a in here.attempts):
        yield Sign.IPV6_FAILURE
    if scene.more_to_come:
        yield Sign.MORE_TO_COME


def _progress(here: Sight, control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    reached = {
        Operation.RESOLVE: Sign.RESOLVED,
        Operation.CONNECT: Sign.CONNECTED,
        Operation.TLS_HANDSHAKE: Sign.VERIFIED,
        Operation.HTTP_ROUND_TRIP: Sign.ANSWERED,
    }
    yield from (sign for operation, sign in reached.items() if operation in here.passed)
    if stopped is not None:
        yield Sign.FAILED
    if here.depth >= control.depth > 0:
        yield Sign.AS_FAR_AS_CONTROL
    for step in here.find(Operation.READ_BODY):
        if step.method == "slow_body":
            yield Sign.SLOW_BODY
        elif step.method == "truncated_body" or (step.method and Sign.VERIFIED in _tls(here)):
            yield Sign.CUT_BODY


def _tls(here: Sight) -> tuple[Sign, ...]:
    return (Sign.VERIFIED,) if Operation.TLS_HANDSHAKE in here.passed else ()


def _against_control(here: Sight, control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    theirs = failing(control, control)
    if Operation.READ_BODY in control.passed:
        yield Sign.CONTROL_BODY
    if Operation.RESOLVE in control.passed:
        yield Sign.CONTROL_RESOLVED
    if stopped is None:
        if theirs is not None:
            yield Sign.CONTROL_FAILED
    elif stopped.operation in control.passed:
        yield Sign.CONTROL_PASSED
    elif theirs is not None and DEPTH[theirs.operation] <= DEPTH[stopped.operation]:
        yield Sign.CONTROL_FAILED


def _addresses(here: Sight, control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    others = answers(here.other_lookups)
    if others:
        yield Sign.OTHERS_RESOLVED
    own = {a for a in here.own_addresses if ":" not in a}
    theirs = control.own_addresses
    if own and all(bogon(a) for a in own) and theirs and not any(bogon(a) for a in theirs):
        yield Sign.BOGON
    if stopped is None:
        return
    failed = {a.address for a in stopped.attempts if a.address}
    known = theirs | others
    if failed and known and not any(near(a, b) for a in failed for b in known):
        yield Sign.STRANGE_ADDRESS
    connected = [a.address for a in control.attempts if Operation.CONNECT in a.passed]
    if any(near(a, b) for a in failed for b in connected):
        yield Sign.SHARED_ADDRESS
    if _untried(here, control, failed):
        yield Sign.UNTRIED_ADDRESS


def _untried(here: Sight, control: Sight, failed: set[str]) -> bool:
    if control.lookups and not here.own_addresses:
        return True  # the name's addresses are not known, so nobody can say that all were tried
    known = {a for a in here.own_addresses if ":" not in a} or here.own_addresses
    return len(failed) < min(len(known), ADDRESSES_ENOUGH)


def _certificates(control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    if stopped is None or stopped.failure not in CERTIFICATE:
        return
    leaves = [leaf for s in stopped.steps if (leaf := _leaf(s)) is not None]
    good = [leaf for s in control.find(Operation.TLS_HANDSHAKE) if s.ok and (leaf := _leaf(s))]
    if not leaves:
        yield Sign.NO_CHAIN
    if any(a.spki_sha256 == b.spki_sha256 for a in leaves for b in good):
        yield Sign.SAME_KEY
    if any(a.issuer == b.issuer for a in leaves for b in good):
        yield Sign.SAME_ISSUER


def _leaf(step: Step) -> Certificate | None:
    return step.seen.tls.chain[0] if step.seen.tls and step.seen.tls.chain else None


def _page(here: Sight, control: Sight) -> Iterator[Sign]:
    """Only cleartext pages are compared."""
    if Operation.TLS_HANDSHAKE in here.passed | control.passed:
        return
    if here.page is not None and control.page is not None:
        yield PAGES[likeness(here.page[1], control.page[1])]


def _deepest(here: Sight) -> tuple[int, ...]:
    steps = [s for s in _steps(here) if s.ok and s.operation in here.passed]
    depth = max((DEPTH.get(s.operation, 0) for s in steps), default=0)
    return tuple(s.index for s in steps if DEPTH.get(s.operation, 0) == depth)


def _steps(sight: Sight) -> list[Step]:
    return [*sight.lookups, *(s for a in sight.attempts for s in a.steps)]


def bogon(address: str) -> bool:
    """An address that nothing on the Internet can have."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not parsed.is_global and not (parsed.version == 4 and parsed in OWN_PROXY)
