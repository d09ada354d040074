"""Extract features of known addresses and pages, and name their fingerprints."""

import dataclasses
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from heliograph.observation import Dns, Observation
from heliograph_collector.judge.endpoint_view import (
    ENCRYPTED_ENGINES,
    EndpointView,
    ObservedStep,
)
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprints import (
    Fingerprint,
    FingerprintScope,
    canonicalize_answer,
    list_answers,
    match_answer,
    match_issuer,
    match_page,
)
from heliograph_collector.judge.page_comparison import find_block_page
from heliograph_collector.model.records import ReceivedMeasurement, Verdict, VerdictState

ANSWER_RULES = frozenset(
    ("dns.fingerprint", "dns.fingerprint_authority", "dns.fingerprint_hostname", "dns.filter")
)
# Assumed: a longer page may be an article that quotes a block page, if no control's page denies it.
MAX_LONE_BYTES = 16 * 1024


def extract_fingerprint_features(
    vantage: EndpointView, control: EndpointView, country: str
) -> Iterator[Feature]:
    """Yield features of known answers, and of a known block page without a control.

    A block address of another country is a sign only if other lookups got another answer: it may be
    private there, or have a new owner by now.
    """
    if not vantage.lookups and vantage.page is None:
        return
    others = [*control.lookups, *(s for s in vantage.other_lookups if _is_sealed(s))]
    have_others_looked = any(s.has_succeeded for s in others)
    answers = frozenset(answer for step in others for answer in _list_answers(step))
    for fingerprint in _match_answers(vantage, answers):
        if fingerprint.is_blocking and (have_others_looked or fingerprint.is_expected_in(country)):
            yield Feature.BLOCK_ANSWER
        elif fingerprint.scope in (FingerprintScope.PRODUCT, FingerprintScope.INSTITUTION):
            yield Feature.FILTER_ANSWER
    page = vantage.page[1] if vantage.page is not None and control.page is None else None
    is_lone_page = page is not None and vantage.is_cleartext and page.body_bytes <= MAX_LONE_BYTES
    if is_lone_page and page is not None and find_block_page(page, None) is not None:
        yield Feature.BLOCK_PAGE_ALONE


def _match_answers(vantage: EndpointView, others: AbstractSet[str]) -> Iterator[Fingerprint]:
    """Yield the fingerprints of own answers that nobody else got as well."""
    for dns in (s.observation.dns for s in vantage.own_lookups if s.observation.dns):
        own = tuple(a for a in dns.answers if canonicalize_answer(a.data) not in others)
        if not own:
            continue
        is_whole = own == dns.answers
        fingerprint = match_answer(dns if is_whole else dataclasses.replace(dns, answers=own))
        if fingerprint is not None:
            yield fingerprint


def _is_sealed(step: ObservedStep) -> bool:
    dns = step.observation.dns
    return dns is not None and dns.engine in ENCRYPTED_ENGINES


def _list_answers(step: ObservedStep) -> tuple[str, ...]:
    return list_answers(step.observation.dns) if step.observation.dns else ()


def name_fingerprints(
    verdicts: Sequence[Verdict], record: ReceivedMeasurement
) -> tuple[Verdict, ...]:
    """Return the verdicts with the lines that their evidence has.

    Blocked by a state's or a provider's line, in a country of that line, is confirmed. A service is
    blocked by the line of an endpoint that decided it.
    """
    *parts, overall = (_name_fingerprint(verdict, record) for verdict in verdicts)
    is_blocked = overall.state is VerdictState.BLOCKED
    if parts and is_blocked and not overall.endpoint and not overall.fingerprint:
        deciding = (v for v in parts if v.fingerprint and {*v.evidence} <= {*overall.evidence})
        part = next((v for v in deciding if v.state is VerdictState.BLOCKED), overall)
        overall = replace(overall, fingerprint=part.fingerprint, confirmed=part.confirmed)
    return (*parts, overall)


def _name_fingerprint(verdict: Verdict, record: ReceivedMeasurement) -> Verdict:
    is_reachable = verdict.state is VerdictState.REACHABLE
    if is_reachable and not verdict.issuer and verdict.rule not in ANSWER_RULES:
        return verdict
    observations = record.measurement.observations
    evidence = [observations[i] for i in verdict.evidence if i < len(observations)]
    fingerprint = _find_evidence(verdict, evidence, observations)
    if fingerprint is None:
        return verdict
    is_blocked = verdict.state is VerdictState.BLOCKED and fingerprint.is_blocking
    return replace(
        verdict,
        fingerprint=fingerprint.name,
        confirmed=is_blocked and fingerprint.is_expected_in(record.vantage.country),
    )


def _find_evidence(
    verdict: Verdict, evidence: list[Observation], observations: tuple[Observation, ...]
) -> Fingerprint | None:
    if verdict.rule in ANSWER_RULES:
        return _find_answer(x.dns for x in observations if x.endpoint == verdict.endpoint)
    if verdict.issuer:
        return match_issuer(verdict.issuer)
    if verdict.state is VerdictState.REACHABLE:
        return None
    pages = (match_page(x.http) for x in evidence if x.http is not None and _is_cleartext(x))
    return next((page for page in pages if page is not None), None)


def _find_answer(lookups: Iterator[Dns | None]) -> Fingerprint | None:
    fingerprints = (match_answer(dns) for dns in lookups if dns is not None)
    return next((fingerprint for fingerprint in fingerprints if fingerprint is not None), None)


def _is_cleartext(observation: Observation) -> bool:
    return observation.http is not None and observation.http.url.lower().startswith("http://")
