"""Options: taken when they fit, named with what is allowed when they do not."""

import json

import pytest

from heliograph.experiments.network import TlsConfig
from heliograph.experiments.options import options_of
from heliograph.experiments.web import WebConfig
from heliograph_agent.experiments import REGISTRY, find_experiment
from heliograph_agent.experiments.experiment import CannotRun, Experiment, parse_config


def test_options_are_read_by_the_type_of_their_field() -> None:
    config = parse_config(find_experiment("tls"), {"sni": "false", "server_name": "decoy.test"})
    assert config == TlsConfig(sni=False, server_name="decoy.test")
    assert parse_config(find_experiment("web"), {"redirects": "0"}) == WebConfig(redirects=0)
    assert parse_config(find_experiment("web"), {"resolver": ""}).resolver == ""
    assert parse_config(find_experiment("web"), {"resolver": "9.9.9.9"}).resolver == "9.9.9.9"


@pytest.mark.parametrize(
    ("name", "key", "value", "sentence"),
    [
        ("web", "colour", "red", "web has no option 'colour'; its options are: resolver, doh,"),
        ("tcp", "colour", "red", "tcp has no option 'colour'; its options are: none."),
        ("web", "redirects", "11", "redirects cannot be '11'; allowed: 0 to 10."),
        ("web", "redirects", "-1", "redirects cannot be '-1'; allowed: 0 to 10."),
        ("web", "redirects", "٣", "redirects cannot be '٣'; allowed: 0 to 10."),
        ("web", "redirects", "1" * 5000, "allowed: 0 to 10."),
        ("web", "resolver", "a.test:53", "resolver cannot be 'a.test:53'; allowed: address:port."),
        ("web", "resolver", "9.9.9.9:99999", "allowed: address:port."),
        ("web", "doh", "http://x/", "doh cannot be 'http://x/'; allowed: https URL."),
        ("web", "doh", "https://x:y/", "doh cannot be 'https://x:y/'; allowed: https URL."),
        ("tls", "sni", "yes", "sni cannot be 'yes'; allowed: true, false."),
        ("tls", "trust", "mine", "trust cannot be 'mine'; allowed: \"\", signal."),
        ("tls", "server_name", "a\x1b[2J", "allowed: text."),
        ("tls", "server_name", "a" * 254, "allowed: text."),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(
    name: str, key: str, value: str, sentence: str
) -> None:
    with pytest.raises(CannotRun) as caught:
        parse_config(find_experiment(name), {key: value})
    assert sentence in str(caught.value)


def test_an_unknown_experiment_is_answered_with_the_known_ones() -> None:
    known = ", ".join(experiment.name for experiment in REGISTRY)
    with pytest.raises(CannotRun, match=known):
        find_experiment("teleport")


@pytest.mark.parametrize("experiment", REGISTRY, ids=lambda e: e.name)
def test_defaults_are_themselves_allowed(experiment: Experiment) -> None:
    written = {
        option.key: json.dumps(option.default).strip('"')
        for option in options_of(experiment.config)
    }
    assert parse_config(experiment, written) == experiment.config()
