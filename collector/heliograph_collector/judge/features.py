"""From observations to signs: everything the decision table may ask about one endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Link
from heliograph_collector.judge.certificates import certificate_signs
from heliograph_collector.judge.deciding_failure import Failing, failing, six_only
from heliograph_collector.judge.dns_features import address_signs, lookup_signs
from heliograph_collector.judge.endpoint_view import NOTHING, Sight, Step, answers
from heliograph_collector.judge.failure_semantics import DEPTH
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.page_comparison import Likeness, frozen, likeness

FRESH_US = 15 * 60 * 1_000_000  # a control older than this proves nothing

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
    Likeness.BLOCK: Sign.PAGE_BLOCK,
    Likeness.BROKEN: Sign.PAGE_BROKEN,
    Likeness.PARKED: Sign.PAGE_PARKED,
    Likeness.FILTER: Sign.PAGE_FILTER,
    Likeness.ANTIBOT: Sign.PAGE_ANTIBOT,
    Likeness.SERVER_ERROR: Sign.PAGE_SERVER_ERROR,
    Likeness.DYNAMIC: Sign.PAGE_DYNAMIC,
}
FOREIGN = frozenset((Sign.PAGE_DIFFERENT, Sign.PAGE_REDIRECTED, Sign.PAGE_LEGAL, Sign.PAGE_BLOCK))


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
    endless: bool = False


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
        *_ipv6(here, control),
        *_chain(scene),
        *_progress(here, control, stopped),
        *_control_state(scene),
        *_against_control(here, control, stopped),
        *lookup_signs(here, control),
        *address_signs(here, control, stopped),
        *certificate_signs(control, stopped),
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
    six = {s.index for a in here.attempts if a.ipv6 for s in a.steps}
    if any(s.local and s.index not in six for s in _steps(here)):
        yield Sign.LOCAL_FAILURE


def _ipv6(here: Sight, control: Sight) -> Iterator[Sign]:
    """A vantage without IPv6 fails by itself there, which is a lack and no fault."""
    unresolved = not here.resolved and six_only(here, control)
    tried = (s for a in here.attempts if a.ipv6 for s in a.steps)
    if unresolved or any(not s.ok for s in tried):
        yield Sign.IPV6_FAILURE


def _chain(scene: Scene) -> Iterator[Sign]:
    if scene.more_to_come:
        yield Sign.MORE_TO_COME
    if scene.endless:
        yield Sign.ENDLESS


def _progress(here: Sight, control: Sight, stopped: Failing | None) -> Iterator[Sign]:
    reached = {
        Operation.RESOLVE: Sign.RESOLVED,
        Operation.CONNECT: Sign.CONNECTED,
        Operation.TLS_HANDSHAKE: Sign.VERIFIED,
        Operation.QUIC_HANDSHAKE: Sign.VERIFIED,
        Operation.HTTP_ROUND_TRIP: Sign.ANSWERED,
        Operation.EXCHANGE: Sign.SPOKEN,
    }
    yield from (sign for operation, sign in reached.items() if operation in here.passed)
    if stopped is not None:
        yield Sign.FAILED
    fell_back = here.depth == DEPTH[Operation.RESOLVE] and bool(here.own_attempts)
    if here.depth >= control.depth > 0 and not fell_back:
        yield Sign.AS_FAR_AS_CONTROL
    for step in here.find(Operation.READ_BODY):
        if step.method == "slow_body":
            yield Sign.SLOW_BODY
        elif step.method == "truncated_body" or (step.method and Sign.VERIFIED in _tls(here)):
            yield Sign.CUT_BODY
    if frozen(here, control):
        yield Sign.FROZEN


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


def _page(here: Sight, control: Sight) -> Iterator[Sign]:
    """Only cleartext pages are compared."""
    if Operation.TLS_HANDSHAKE in here.passed | control.passed:
        return
    if here.page is not None and control.page is not None:
        found = PAGES[likeness(here.page[1], control.page[1])]
        yield found
        if found in FOREIGN:
            yield Sign.PAGE_FOREIGN


def _deepest(here: Sight) -> tuple[int, ...]:
    steps = [s for s in _steps(here) if s.ok and s.operation in here.passed]
    depth = max((DEPTH.get(s.operation, 0) for s in steps), default=0)
    return tuple(s.index for s in steps if DEPTH.get(s.operation, 0) == depth)


def _steps(sight: Sight) -> list[Step]:
    return [*sight.lookups, *(s for a in sight.attempts for s in a.steps)]
