"""Signatures of stored certificate chains, whatever their names claim.

The public chain is web.telegram.org's of 2017, by Go Daddy.
"""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_agent.net.tls.certificates import describe_certificate
from heliograph_collector.aggregate.cell_updater import CellRefresher
from heliograph_collector.control import STALE_US, ControlContext
from heliograph_collector.http.api.measurements import build_document
from heliograph_collector.judge import judge
from heliograph_collector.judge.certificates import (
    ChainKind,
    find_chain_kind,
    find_signed_kind,
    proves_name,
)
from heliograph_collector.judge.rejudge import RejudgeScope, rejudge
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)
from heliograph_collector.store import certificates
from heliograph_collector.store.store import Store
from support.scenario import Scenario, load_chain, scenario, with_chain

NAME = "web.telegram.org"
KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())  # nothing is secret here
MINUTE_US = 60_000_000


def forge(issuer: x509.Name, subject: str = NAME) -> bytes:
    """A leaf that names an issuer, signed by a key of our own."""
    owner = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(4_711)
        .not_valid_before(datetime(2018, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2019, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


PUBLIC = load_chain("web-telegram-org.pem")
INTERMEDIATE = x509.load_der_x509_certificate(PUBLIC[1])
HOUSE = x509.Name.from_rfc4514_string("CN=Router of the Smith family")
BY_HOUSE = (forge(HOUSE),)
IN_NAME_OF_ROOT = (forge(INTERMEDIATE.issuer),)
OVER_INTERMEDIATE = (forge(INTERMEDIATE.subject), PUBLIC[1])
SELF_SIGNED = (forge(x509.Name.from_rfc4514_string(f"CN={NAME}")),)


@pytest.mark.parametrize(
    ("chain", "by_names", "by_signatures", "is_proof"),
    [
        (PUBLIC, ChainKind.PUBLIC, ChainKind.PUBLIC, True),
        (PUBLIC[:1], ChainKind.UNDETERMINED, ChainKind.UNDETERMINED, False),
        (IN_NAME_OF_ROOT, ChainKind.PUBLIC, ChainKind.PRIVATE, False),
        (OVER_INTERMEDIATE, ChainKind.PUBLIC, ChainKind.UNDETERMINED, False),
        (SELF_SIGNED, ChainKind.PRIVATE, ChainKind.PRIVATE, False),
        (BY_HOUSE, ChainKind.UNDETERMINED, ChainKind.UNDETERMINED, False),
        ((b"0\x82no certificate",), ChainKind.PRIVATE, ChainKind.UNDETERMINED, False),
    ],
)
def test_signatures_decide_and_not_names(
    chain: tuple[bytes, ...], by_names: ChainKind, by_signatures: ChainKind, is_proof: bool
) -> None:
    assert find_chain_kind([describe_certificate(der) for der in chain]) is by_names
    assert find_signed_kind(chain) is by_signatures
    assert proves_name(chain, NAME) is is_proof
    assert not proves_name(chain, "bank.example")


STEPS = ({"system A": "5.6.7.8"}, {"connect 5.6.7.8": "ok"})


def make_intercepted(chain: tuple[bytes, ...], failure: str) -> Scenario:
    """A vantage that refuses a chain whose issuer several vantages of its network met."""
    issuer = describe_certificate(chain[0]).issuer
    entry = {
        "name": "x",
        "verdict": {"state": ""},
        "here": [*STEPS, {f"tls {NAME}": f"{failure} key {issuer}"}],
        "control": [*STEPS, {f"tls {NAME}": "ok"}, {"http": 200}],
        "profile": {"shared_issuers": frozenset({issuer})},
    }
    facts = scenario(entry)
    measurement = with_chain(facts.taken.measurement, chain)
    return replace(facts, taken=replace(facts.taken, measurement=measurement))


@pytest.mark.parametrize(
    ("chain", "failure", "rule"),
    [
        (PUBLIC, "ssl_unknown_authority", "tls.proven_chain"),
        (PUBLIC, "ssl_invalid_hostname", "tls.proven_chain"),
        (OVER_INTERMEDIATE, "ssl_unknown_authority", "tls.interception"),
        (BY_HOUSE, "ssl_unknown_authority", "tls.interception"),
    ],
)
def test_an_old_list_of_authorities_accuses_nobody(
    chain: tuple[bytes, ...], failure: str, rule: str
) -> None:
    """An outdated list of authorities blames no network.

    Agents of one release all lack an authority, whose issuer then looks like the network's.
    """
    facts = make_intercepted(chain, failure)
    assert judge(facts.taken, facts.control)[-1].rule == rule
    without = replace(facts.taken.measurement, certificates=())
    assert judge(replace(facts.taken, measurement=without), facts.control)[-1].state == "blocked"


def test_a_public_name_over_a_private_signature_is_a_private_issuer() -> None:
    facts = make_intercepted(IN_NAME_OF_ROOT, "ssl_invalid_hostname")
    unshared = replace(facts.control, profile=VantageProfile())
    assert judge(facts.taken, unshared)[-1].rule == "tls.private_issuer"
    without = replace(facts.taken.measurement, certificates=())
    before = judge(replace(facts.taken, measurement=without), unshared)[-1]
    assert before.state == "blocked", "its names alone say that a public authority signed it"


def make_record(
    number: int, chain: tuple[bytes, ...], *, pseudonym: str = "n1", claims: str = ""
) -> ReceivedMeasurement:
    record = make_intercepted(chain, "ssl_unknown_authority").taken
    if claims:
        steps = record.measurement.observations
        tls = steps[-1].tls
        assert tls is not None
        lie = replace(tls, chain=(replace(tls.chain[0], sha256=claims),))
        measurement = replace(
            record.measurement, observations=(*steps[:-1], replace(steps[-1], tls=lie))
        )
        record = replace(record, measurement=measurement)
    return replace(record, id=f"{number:032x}", position=number, pseudonym=pseudonym)


async def keep(store: Store, *records: ReceivedMeasurement) -> None:
    verdict = Verdict(state=VerdictState.BLOCKED, rule="tls.interception")
    judged = tuple((record, (verdict,)) for record in records)
    last = records[-1].position
    await store.insert_block(
        Block(journal="j", first=records[0].position, last=last, judged=judged)
    )


async def read_certificates(store: Store, record: ReceivedMeasurement) -> tuple[bytes, ...]:
    stored = await store.measurement(record.id)
    assert stored is not None
    assert stored[0].measurement.certificates == ()
    (found,) = await certificates.add_certificates(store, stored[:1])
    return found.measurement.certificates


def count_stored(store: Store) -> int:
    rows = store._clickhouse.query_written("SELECT count() FROM certificates FINAL", {})
    return int(rows[0][0])


async def test_each_certificate_is_stored_once_and_apart(store: Store) -> None:
    first = make_record(1, PUBLIC)
    second = make_record(2, PUBLIC, pseudonym="n2")
    await keep(store, first, second)
    await keep(store, first, second)  # a block that is repeated
    assert count_stored(store) == len(PUBLIC)
    assert await read_certificates(store, second) == PUBLIC
    (record,) = await certificates.add_certificates(store, [first])
    (row,) = build_document(record, ()).test_keys.tls_handshakes
    kept = row.peer_certificates
    assert kept, "the operator's view of one measurement has them"
    assert [base64.b64decode(c.data) for c in kept] == [*PUBLIC]


async def test_nobody_can_pass_one_certificate_for_another(store: Store) -> None:
    """Nobody can pass one certificate for another.

    The collector computes its digest; a digest that an agent claims finds its own bytes or none.
    """
    own = hashlib.sha256(PUBLIC[0]).hexdigest()
    liar = make_record(1, BY_HOUSE, claims=own)
    await keep(store, liar)
    assert await read_certificates(store, liar) == ()
    await keep(store, make_record(2, PUBLIC))
    assert await read_certificates(store, liar) == PUBLIC[:1]


async def test_inventing_certificates_fills_no_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "VANTAGE_BYTES", 2_000)
    monkeypatch.setattr(certificates, "DAY_BYTES", 4_000)
    for number in range(1, 6):
        invented = (forge(HOUSE, f"h{number}.example"),)
        await keep(store, make_record(number, invented, pseudonym="flooder"))
    stored = count_stored(store)
    assert 0 < stored * len(BY_HOUSE[0]) <= 2_000
    await keep(store, make_record(9, PUBLIC, pseudonym="other"))
    assert count_stored(store) > stored, "one vantage takes no room from another"
    stranger = replace(make_record(10, BY_HOUSE, pseudonym="new"), role=AgentRole.QUARANTINE)
    before = count_stored(store)
    await keep(store, stranger)
    assert count_stored(store) == before, "who is in quarantine stores none"


async def test_rejudge_checks_the_signatures_again(store: Store) -> None:
    facts = make_intercepted(PUBLIC, "ssl_unknown_authority")
    control = replace(facts.taken, id="c" * 32, role=AgentRole.CONTROL, pseudonym="c", position=2)
    assert facts.control.measurement is not None
    control = replace(control, measurement=facts.control.measurement)
    await keep(store, replace(facts.taken, position=1), control)
    at_us = facts.taken.started_us
    scope = RejudgeScope(since_us=at_us - MINUTE_US, until_us=at_us + MINUTE_US, country="KZ")
    report = await rejudge(
        store,
        ControlContext(),
        CellRefresher(store),
        scope,
        control_reach_us=STALE_US,
        is_written=True,
    )
    rules = {(c.before, c.after) for c in report.changes}
    assert ("tls.interception", "tls.proven_chain") in rules
