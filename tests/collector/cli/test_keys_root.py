"""The root of trust is made and kept off the collector's machine, two of three."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import keys, trust_chain
from heliograph.v1 import plan_pb2 as pb
from heliograph_collector import cli
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.root_shares import load_share
from heliograph_collector.fleet.trust_chain import load_charters

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a runner of commands in the test's folder that checks the exit code.

    Doctor may end with any code, because no `serve` runs here.
    """

    def command(words: str, code: int = 0) -> str:
        named = [str(tmp_path / word) if "." in word else word for word in words.split()]
        is_offline = {"create", "sign", "combine"} & set(named)
        data = [] if is_offline else ["--data", str(tmp_path / "data")]
        assert cli.main([*named, *data]) in ((0, 1) if words == "doctor" else (code,))
        captured = capsys.readouterr()
        return captured.out + captured.err

    return command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def make_shares(run: Run) -> None:
    for number in (1, 2, 3):
        run(f"keys root create --share {number} --out {number}.key")


def move_root(run: Run) -> None:
    """Move the root by all steps of the page: two holders sign copies of one draft."""
    make_shares(run)
    run("keys root propose 1.key.pub 2.key.pub 3.key.pub --out draft.txt")
    for number in (1, 3):
        run(f"keys root sign draft.txt --key {number}.key --out signed-{number}.txt")
    run("keys root combine signed-1.txt signed-3.txt --out draft.txt")
    run("keys root install draft.txt")


def list_charters(data: Path) -> list[pb.SignedCharter]:
    fleet = Fleet(data)
    charters = load_charters(fleet)
    fleet.close()
    return charters


def test_agents_of_a_single_root_follow_to_two_of_three(run: Run, data: Path) -> None:
    assert "A root key of the fleet is on this machine" in run("keys show")
    assert "root-of-trust.md" in run("doctor")
    joined = list_charters(data)[0].charter  # what an agent of that time holds
    move_root(run)
    chain = list_charters(data)
    followed = trust_chain.decode_trust_root(trust_chain.follow_chain(joined, chain))
    assert (followed.version, followed.root.threshold, len(followed.root.keys)) == (2, 2, 3)
    assert not (data / "keys" / "root.key").exists()
    assert "2 of 3 root shares sign, and none is here" in run("doctor")


def test_root_is_made_elsewhere_before_the_first_start(run: Run, data: Path) -> None:
    move_root(run)
    (only,) = list_charters(data)
    assert trust_chain.decode_trust_root(only.charter).root.threshold == 2
    assert not (data / "keys" / "root.key").exists()


def test_thief_of_the_machine_and_one_share_changes_no_key(run: Run, data: Path) -> None:
    move_root(run)
    before = list_charters(data)
    assert "say --draft FILE" in run("keys rotate", 1)
    assert "say --draft FILE" in run("keys renew", 1)
    run("keys rotate --draft rotation.txt")
    assert "not signed by enough" in run("keys root install rotation.txt", 1)
    assert "Keys of plans and envelopes: NEW" in run("keys root sign rotation.txt --key 2.key")
    run("keys root sign rotation.txt --key 2.key")  # twice by one share
    assert "not signed by enough" in run("keys root install rotation.txt", 1)
    run("keys root create --share 9 --out 9.key")
    run("keys root propose 2.key.pub 9.key.pub --out own.txt")
    for share in ("2.key", "9.key"):
        run(f"keys root sign own.txt --key {share}")
    assert "not signed by enough" in run("keys root install own.txt", 1)
    assert list_charters(data) == before


def test_two_shares_rotate_keys_and_never_meet_the_machine(run: Run, data: Path) -> None:
    move_root(run)
    old = open_keyring(data, [])
    run("keys rotate --draft rotation.txt")
    for share in ("1.key", "2.key"):
        shown = run(f"keys root sign rotation.txt --key {share}")
    assert "It has enough signatures" in shown
    assert open_keyring(data, []).sealing.public == old.sealing.public, "not before it is installed"
    run("keys root install rotation.txt")
    new = open_keyring(data, [])
    charter = trust_chain.decode_trust_root(list_charters(data)[-1].charter)
    first = list_charters(data)[0].charter
    assert charter.origin == trust_chain.find_origin(trust_chain.decode_trust_root(first), first)
    assert charter.sealing_key == new.sealing.public != old.sealing.public
    assert charter.plan.keys == charter.receipts.keys == (new.signing.public,)
    run("keys root install rotation.txt")  # again, as after an interruption
    run("keys root install draft.txt", 1)  # an older one


def test_draft_that_was_changed_or_names_foreign_keys_is_refused(
    run: Run, data: Path, tmp_path: Path
) -> None:
    move_root(run)
    current = list_charters(data)[-1]
    charter = trust_chain.decode_trust_root(current.charter)
    shares = [load_share(tmp_path / f"{number}.key") for number in (1, 2)]
    sealing_key = keys.SealingKey(b"f" * 32).public
    origin = trust_chain.find_origin(charter, current.charter)
    foreign = replace(charter, version=charter.version + 1, sealing_key=sealing_key, origin=origin)
    forged = pb.SignedCharter(charter=current.charter, signatures=[b"x" * 64])
    for name, previous in (("foreign.txt", current), ("forged.txt", forged)):
        chain = (previous, trust_chain.sign_trust_root(foreign, shares))
        lines = [base64.b64encode(signed.SerializeToString()).decode() for signed in chain]
        text = f"heliograph charter draft 1\nprevious {lines[0]}\ncharter {lines[1]}\n"
        (tmp_path / name).write_text(text)
    assert "a sealing key that is not on this machine" in run("keys root install foreign.txt", 1)
    assert "did not sign" in run("keys root sign forged.txt --key 1.key", 1)
    run("keys root create --share 9 --out 9.key")
    assert "no root key of the charter" in run("keys root sign draft.txt --key 9.key", 1)
    draft = (tmp_path / "draft.txt").read_bytes()
    for broken in (draft[:-40], draft * 99, b"", b"\xff" * 9, draft.replace(b"charter ", b"x ")):
        (tmp_path / "broken.txt").write_bytes(broken)
        assert "heliograph-collector: " in run("keys root install broken.txt", 1)


def test_share_is_read_as_people_copy_it(run: Run, tmp_path: Path) -> None:
    make_shares(run)
    run("keys root propose 1.key.pub 2.key.pub 3.key.pub --out draft.txt")
    file = tmp_path / "1.key"
    assert file.stat().st_mode & 0o777 == 0o600
    key = load_share(file).public
    secret = file.read_text().splitlines()[2].removeprefix("secret heliograph-root-secret1:")
    typed = tmp_path / "typed.key"
    typed.write_text(f"heliograph-root-secret1: {secret.replace('-', ' ').lower()}")
    assert load_share(typed).public == key
    wrong = "A" if secret[10] != "A" else "B"
    typed.write_text(f"heliograph-root-secret1:{secret[:10]}{wrong}{secret[11:]}")
    assert "copy its `secret` line again" in run("keys root sign draft.txt --key typed.key", 1)
    assert "is there already" in run("keys root create --share 1 --out 1.key", 1)
    assert "different keys" in run("keys root propose 1.key.pub 1.key.pub --out draft.txt", 1)
    assert load_share(file).public == key


@pytest.mark.parametrize("place", ["keys/share.txt", "root-2.key"])
def test_doctor_finds_a_share_that_was_left_on_the_machine(
    run: Run, data: Path, tmp_path: Path, place: str
) -> None:
    move_root(run)
    (tmp_path / "2.key").rename(data / place)
    assert place in run("doctor")
    assert place in run("keys show")
