"""Names in the store stay what they were: HMAC-SHA256 with the collector's secret."""

import hmac

import pytest

from heliograph_collector.store.pseudonyms import Pseudonyms

AGENT = bytes(range(16))


@pytest.mark.parametrize("length", [1, 32, 64, 65])
def test_names_are_hmacs_with_the_secret(length: int) -> None:
    secret = bytes(range(1, length + 1))
    pseudonyms = Pseudonyms(secret)
    position = (7).to_bytes(8, "big") + (2).to_bytes(4, "big")
    digest = hmac.digest(secret, b"heliograph measurement v1\0" + AGENT + position, "sha256")
    assert pseudonyms.measurement(AGENT, 7, 2) == digest[:16].hex()
    named = b"heliograph vantage v1\0" + AGENT + b"KZ 9198 1970-01"
    expected = hmac.digest(secret, named, "sha256")[:8].hex()
    assert pseudonyms.vantage(AGENT, "KZ", 9198, 0) == expected
