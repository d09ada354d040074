"""Explain experiments that compare a target with a neutral reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from heliograph.experiments.network import QUIC_BROWSERS
from heliograph.experiments.web import BROWSER_HELLOS
from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent.cli.explain.target import (
    NOTHING,
    ONLY_A_CONTROL,
    REFUSALS,
    Groups,
    explain_stop,
)
from heliograph_agent.cli.labels import compute_rate, format_rate
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer, deepest_steps

_SLOW = 0.5  # assumed: from this share of the neutral rate on, no slowdown is reported
_TOO_SHORT = 2


def explain_sni(target: str, groups: Groups) -> str:
    """Compare one server's handshakes with its own name and with the target's."""
    return _compare_neutral(target, groups, _SNI)


def explain_http_host(target: str, groups: Groups) -> str:
    """Compare one server's answers for its own host and for the target's."""
    return _compare_neutral(target, groups, _HTTP_HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _NeutralSentences:
    """Hold the sentences about a neutral server, by its answers for both names."""

    no_neutral: str
    same: str
    differs: str


_SNI = _NeutralSentences(
    no_neutral=mark(
        "The neutral server made no encrypted connection for its own name either, so this says "
        "nothing about {target}."
    ),
    same=mark(
        "A neutral server answered the name {target} in the first packet of an encrypted "
        "connection as it does its own: nothing on the way objects to the name."
    ),
    differs=mark(
        "A neutral server answers its own name and not the name {target} in the first packet of an "
        "encrypted connection (ClientHello). Either something on the way interferes with that "
        "name, or the server refuses names that it does not know."
    ),
)
_HTTP_HOST = _NeutralSentences(
    no_neutral=mark(
        "The neutral server answered no request for its own name either, so this says nothing "
        "about {target}."
    ),
    same=mark(
        "A neutral server answered an unencrypted request for {target} as it does one for its own "
        "name: nothing on the way objects to the name."
    ),
    differs=mark(
        "A neutral server answers requests for its own name and not an unencrypted request for "
        "{target} (the Host header). Either something on the way interferes with that name, or the "
        "server refuses names that it does not know."
    ),
)


def _compare_neutral(target: str, groups: Groups, sentences: _NeutralSentences) -> str:
    target_answer = _group_answer(groups, "target")
    if _group_answer(groups, "neutral") is not EndpointAnswer.YES:
        return _(sentences.no_neutral).format(target=target)
    if target_answer is EndpointAnswer.UNKNOWN:
        return _(NOTHING)
    if target_answer is EndpointAnswer.YES:
        return f"{_(sentences.same).format(target=target)} {_explain_direct(target, groups)}"
    differs = _(sentences.differs).format(target=target)
    return f"{differs} {_(ONLY_A_CONTROL)} {_explain_direct(target, groups)}"


def _explain_direct(target: str, groups: Groups) -> str:
    answer = _group_answer(groups, "direct")
    if "direct" not in groups or answer is EndpointAnswer.UNKNOWN:
        return _("The addresses of {target} itself were not tried.").format(target=target)
    if answer is EndpointAnswer.YES:
        return _("The addresses of {target} itself answered.").format(target=target)
    if _group_answer(groups, "direct_neutral") is EndpointAnswer.YES:
        return _(
            "At the addresses of {target} itself its name fails too, and a neutral name passes."
        ).format(target=target)
    return _("The addresses of {target} itself did not answer.").format(target=target)


def explain_quic(target: str, groups: Groups) -> str:
    """Compare QUIC with TCP to one server, and with QUIC to another."""
    target_answer = _group_answer(groups, "target" if "target" in groups else "")
    browsers = {_group_answer(groups, label) for label in QUIC_BROWSERS}
    if {target_answer, *browsers} == {EndpointAnswer.YES, EndpointAnswer.NO} and len(browsers) == 1:
        sentence = _(_choose_for_quic_browsers(target_answer)).format(target=target)
        return f"{sentence} {_(ONLY_A_CONTROL)}"
    if target_answer is EndpointAnswer.YES:
        return _(
            "{target} answered by QUIC. This cannot tell whether its pages are what others get."
        ).format(target=target)
    if target_answer is EndpointAnswer.UNKNOWN:
        return _(NOTHING)
    target_steps = groups.get("target") or groups.get("", ())
    if target_steps and not _has_quic(target_steps):
        return explain_stop(target_steps)
    if _group_answer(groups, "neutral") is EndpointAnswer.NO:
        return _(_choose_for_no_quic(groups)).format(target=target)
    over_tcp = _(_OVER_TCP[_group_answer(groups, "tcp")]).format(target=target)
    return f"{over_tcp} {_(ONLY_A_CONTROL)}"


_OVER_TCP = {
    EndpointAnswer.YES: mark(
        "{target} does not answer by QUIC, but does over TCP. Either something interferes with "
        "QUIC, or the server does not offer it."
    ),
    EndpointAnswer.NO: mark(
        "{target} answers neither by QUIC nor over TCP. Either something interferes with the whole "
        "server, or it is down."
    ),
    EndpointAnswer.UNKNOWN: mark(
        "{target} does not answer by QUIC, and TCP was not tried. Either something interferes, or "
        "the server does not offer QUIC."
    ),
}


def _choose_for_quic_browsers(own: EndpointAnswer) -> str:
    if own is EndpointAnswer.YES:
        return mark(
            "{target} answers this program's first packets of QUIC and not browsers'. Either a "
            "filter tells programs apart, or the server does."
        )
    return mark(
        "{target} answers browsers' first packets of QUIC and not this program's. Either a filter "
        "tells programs apart, or the server does."
    )


def _choose_for_no_quic(groups: Groups) -> str:
    """Choose by the fate of unanswered packets; a refused packet arrived at some host."""
    ends = [deepest_steps(steps)[-1].failure for steps in groups.values() if _has_quic(steps)]
    refused = [failure in REFUSALS for failure in ends]
    if all(refused):
        return mark(
            "Neither {target} nor a neutral server answered by QUIC. That looks like QUIC or UDP "
            "being refused for all servers, by this network or on the way."
        )
    if any(refused):
        return mark(
            "Neither {target} nor a neutral server answered by QUIC. That looks like QUIC or UDP "
            "being dropped or refused for all servers, by this network or on the way."
        )
    return mark(
        "Neither {target} nor a neutral server answered by QUIC. That looks like QUIC or UDP being "
        "dropped for all servers, by this network or on the way."
    )


def _has_quic(steps: Sequence[Observation]) -> bool:
    return any(step.operation is Operation.QUIC_HANDSHAKE for step in steps)


def explain_ech(target: str, groups: Groups) -> str:
    """Compare a sealed name with a name in clear."""
    replies = {
        label: step.exchange.reply
        for label, steps in groups.items()
        for step in steps
        if step.exchange is not None
    }
    none, grease, real = (_group_answer(groups, label) for label in ("none", "grease", "real"))
    encrypted = _explain_encrypted(real, replies.get("real", ""))
    if none is EndpointAnswer.YES and grease is EndpointAnswer.NO:
        sentence = _(
            "{target} answers an ordinary first packet and not one that looks like ECH. Either "
            "something interferes with ECH, or the server has a fault."
        ).format(target=target)
        return f"{sentence} {_(ONLY_A_CONTROL)} {encrypted}"
    if none is EndpointAnswer.NO and real is EndpointAnswer.YES:
        sentence = _(
            "{target} does not answer when its name can be read on the way. Either something "
            "interferes with the name, or the server has a fault."
        ).format(target=target)
        return f"{sentence} {_(ONLY_A_CONTROL)} {encrypted}"
    if none is EndpointAnswer.NO:
        steps = [s for label in ("none", "grease", "real") for s in groups.get(label, ())]
        return f"{explain_stop(steps)} {_('ECH made no difference.')}"
    if none is EndpointAnswer.YES and grease is EndpointAnswer.YES:
        sentence = _("{target} answers with and without what looks like ECH.").format(target=target)
        doubt = _("No certificate was checked, so this cannot tell who answered.")
        return f"{sentence} {encrypted} {doubt}"
    return _(NOTHING)


def _explain_encrypted(answer: EndpointAnswer, reply: str) -> str:
    if not reply and answer is EndpointAnswer.UNKNOWN:
        return _("No key for ECH was found, so an encrypted name was not tried.")
    if answer is EndpointAnswer.NO:
        return _("An encrypted name was not answered.")
    if reply == "server_hello_ech_accepted":
        return _("The encrypted name was decrypted by the server itself.")
    return _("The encrypted name was not decrypted: the key is old, or something else answered.")


def explain_throttling(target: str, groups: Groups) -> str:
    """Compare the target's goodput with a neutral reference."""
    target_rates = _list_rates(groups.get("target", ()))
    neutral_rates = _list_rates(groups.get("neutral", ()))
    if _group_answer(groups, "target") is EndpointAnswer.NO:
        return explain_stop(groups["target"])
    if not target_rates or not neutral_rates:
        return _("Too little was transferred to compare speeds.")
    target_rate = median(target_rates)
    neutral_rate = median(neutral_rates)
    caveat = ""
    if len(target_rates) < _TOO_SHORT:
        caveat = " " + _("One transfer each is little evidence.")
    is_slow = target_rate < _SLOW * neutral_rate
    sentence = _(_choose_for_speed(is_slow=is_slow)).format(
        target=target, rate=format_rate(target_rate), neutral=format_rate(neutral_rate)
    )
    return f"{sentence} {_(ONLY_A_CONTROL)}{caveat}" if is_slow else f"{sentence}{caveat}"


def _choose_for_speed(*, is_slow: bool) -> str:
    if is_slow:
        return mark(
            "{target} came at {rate}, the neutral reference at {neutral}. Either the connection is "
            "throttled, or the server is slower or farther away."
        )
    return mark(
        "{target} came at {rate}, the neutral reference at {neutral}: no sign of throttling."
    )


def _list_rates(steps: Sequence[Observation]) -> list[float]:
    bodies = [s.http for s in steps if s.operation is Operation.READ_BODY and s.http is not None]
    return [rate for http in bodies if (rate := compute_rate(http)) is not None]


def _group_answer(groups: Groups, label: str) -> EndpointAnswer:
    return classify_answer(groups[label]) if label in groups else EndpointAnswer.UNKNOWN


def explain_hello(target: str, groups: Groups) -> str:
    """Compare our own hello with browsers' hellos."""
    own = _group_answer(groups, "own")
    browsers = [_group_answer(groups, label) for label in BROWSER_HELLOS]
    if own is EndpointAnswer.UNKNOWN or EndpointAnswer.UNKNOWN in browsers:
        return _(NOTHING)
    answered_count = browsers.count(EndpointAnswer.YES)
    if own is EndpointAnswer.YES and answered_count == len(browsers):
        return _("{target} answers this program and browsers alike.").format(target=target)
    if own is EndpointAnswer.NO and answered_count == 0:
        no_difference = _("Browsers' first packets made no difference.")
        return f"{explain_stop(groups.get('own', ()))} {no_difference}"
    is_all = answered_count == len(browsers)
    sentence = _choose_for_hello(own, answered_count, is_all=is_all)
    return f"{_(sentence).format(target=target)} {_(ONLY_A_CONTROL)}"


def _choose_for_hello(own: EndpointAnswer, answered_count: int, *, is_all: bool) -> str:
    if own is EndpointAnswer.YES and answered_count:
        return mark(
            "{target} answers this program's first packet and not those of all browsers. Either a "
            "filter stops browsers, or the server has a fault with long first packets."
        )
    if own is EndpointAnswer.YES:
        return mark(
            "{target} answers this program's first packet and no browser's. Either a filter stops "
            "browsers, or the server has a fault with long first packets."
        )
    if is_all:
        return mark(
            "{target} answers browsers' first packets and not this program's. That looks like a "
            "filter that lets only browsers pass, or a fault of the server."
        )
    return mark(
        "{target} answers some browsers' first packets and not this program's. That looks like a "
        "filter of the name in the first packet, or a fault of the server."
    )
