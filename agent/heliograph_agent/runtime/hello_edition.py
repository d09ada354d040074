"""Choose browsers' hellos: the newest usable edition of plan, state and release.

A browser's hello changes within months, and one that no browser sends any more identifies the
agent. So the signed plan may bring a newer edition. It is used only if the hellos that are built
from it have the fingerprints and sizes that it names; else the earlier edition is kept.
"""

import logging
import random

from heliograph.hello_profiles import (
    HelloProfile,
    HelloProfiles,
    load_shipped_profiles,
    parse_profiles,
)
from heliograph.yaml_document import YamlError
from heliograph_agent.net.tls.fingerprint import describe_hello
from heliograph_agent.protocols.browser_hello import BROWSER_RANDOM_BYTES, BrowserHello
from heliograph_agent.state import HELLO_PROFILES, State, StateError

SEGMENT = 1_460  # bytes; the check asks for no count of segments
CHECK_NAME = "www.example.org"  # of usual length, as sizes are given for one
log = logging.getLogger("heliograph.agent")


def choose_edition(planned: bytes, state: State) -> HelloProfiles:
    """Return the newest usable edition; store the plan's, or log why it is refused."""
    newest = load_shipped_profiles()
    try:
        stored = state.read(HELLO_PROFILES)
        if stored:
            newest = max(newest, check_edition(stored, HELLO_PROFILES), key=_get_edition)
    except (StateError, YamlError) as error:
        log.warning("the kept hellos of browsers are left out: %s", error)
    if not planned:
        return newest
    try:
        brought = check_edition(planned, "the plan's hello_profiles")
        if brought.edition > newest.edition:
            state.write(HELLO_PROFILES, planned)
            return brought
    except (StateError, YamlError) as error:
        log.warning("new hellos of browsers are refused, %s stays: %s", newest.version, error)
    return newest


def check_edition(content: bytes, source: str) -> HelloProfiles:
    """Parse an edition, and build a hello of each profile. Raises YamlError."""
    edition = parse_profiles(content, source)
    for profile in edition.profiles:
        problem = _find_problem(profile)
        if problem:
            raise YamlError(source, 0, f"profile {profile.name}: {problem}")
    return edition


def _find_problem(profile: HelloProfile) -> str:
    """Return how a hello differs from its profile, "" if it does not."""
    random_bytes = random.Random(1).randbytes(BROWSER_RANDOM_BYTES)  # noqa: S311 - nothing is sent
    try:
        record = BrowserHello(profile, "", CHECK_NAME, random_bytes).make_request()
    except (ValueError, IndexError, OverflowError) as error:
        return f"no hello can be built of it ({error})"
    shape = describe_hello(record, SEGMENT)
    if shape is None or shape.ja4 != profile.ja4:
        fingerprint = shape.ja4 if shape else "none"
        return f"its hello has the fingerprint {fingerprint} and not {profile.ja4}"
    if not profile.smallest <= shape.bytes <= profile.largest:
        return f"its hello has {shape.bytes} bytes, not {profile.smallest} to {profile.largest}"
    return ""


def _get_edition(profiles: HelloProfiles) -> tuple[str, int]:
    return profiles.edition
