"""Lists signed by one collector and used by another: trust and refusals."""

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heliograph import keys
from heliograph.observation import Http
from heliograph_collector.cli import main
from heliograph_collector.cli.list_actions import import_lists
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.plain_lists import open_lists
from heliograph_collector.fleet.signed_lists import ListsError, SignedLists
from heliograph_collector.judge.fingerprints.library import FingerprintLibrary
from heliograph_collector.judge.fingerprints.list_summary import PlainFormat
from support.hand_clock import HandClock

HEAD = "name,scope,location_found,pattern_type,pattern,expected_countries,source\n"
ROW = "{name},isp,header.location,prefix,http://{name}.example/,RU,ours\n"
YEAR_US = 366 * 86_400 * 1_000_000


class Collectors:
    """A project that publishes lists, and an operator who takes them; all as typed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.publisher = ""

    def run(self, who: str, *words: str) -> tuple[int, str]:
        code = main([*words, "--data", str(self.folder / who)])
        output = self.capsys.readouterr()
        return code, output.out + output.err

    def publish(self, name: str, who: str = "project") -> Path:
        """Let a collector have one list of one line, and export it."""
        source = self.folder / "isp.csv"
        source.write_text(HEAD + ROW.format(name=name))
        assert self.run(who, "fingerprints", "import", str(source))[0] == 0
        exported = self.folder / f"{who}-{name}.json"
        code, text = self.run(who, "fingerprints", "export", str(exported))
        assert code == 0, text
        self.publisher = text.split()[1].rstrip(":")
        return exported

    def take(self, file: Path, *words: str) -> tuple[int, str]:
        return self.run("operator", "fingerprints", "import", str(file), *words)

    def lines(self, who: str = "operator") -> set[str]:
        """The lines of imported lists that the judge of a collector goes by."""
        library = FingerprintLibrary()
        library.watch(SignedLists(self.folder / who))
        return {f.name for f in library.index.pages if f.source == "ours"}


@pytest.fixture
def two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Collectors:
    return Collectors(tmp_path, capsys)


def test_lists_are_taken_once_trusted_and_renewed_without_a_word(two: Collectors) -> None:
    first = two.publish("old")
    code, text = two.take(first)
    assert code == 1
    assert two.publisher in text
    assert "--publisher" in text
    assert two.lines() == set()
    assert two.take(first, "--publisher", two.publisher)[0] == 0
    assert two.lines() == {"old"}

    library = FingerprintLibrary()
    library.watch(SignedLists(two.folder / "operator"))
    page = Http(method="GET", url="http://x.example/", status=302, location="http://new.example/")
    assert library.index.find_page(page) is None
    assert two.take(two.publish("new"))[0] == 0
    library.refresh()
    fingerprint = library.index.find_page(page)
    assert fingerprint is not None, "a running judge goes on with the lists of before"
    assert fingerprint.name == "new"

    code, text = two.run("operator", "fingerprints", "list", "--json")
    (summary,) = [s for s in json.loads(text) if s["publisher"]]
    assert (summary["publisher"], summary["bundle"]) == (two.publisher, 3)
    code, text = two.run("operator", "fingerprints", "remove", two.publisher)
    assert (code, two.lines()) == (0, set())
    assert two.take(first)[0] == 1, "who is removed is trusted no longer"


def test_a_publisher_whose_keys_change_is_followed(two: Collectors) -> None:
    two.take(two.publish("old"), "--publisher", two.publisher)
    assert two.run("project", "keys", "rotate")[0] == 0
    assert two.lines("project") == {"old"}, "own lists stay after a change of keys"
    assert two.take(two.publish("new"))[0] == 0
    assert two.lines() == {"new"}


def change_line(signed: dict[str, Any]) -> None:
    bundle = base64.b64decode(signed["bundle"])
    content = base64.b64encode((HEAD + ROW.format(name="evil")).encode())
    fields = json.loads(bundle)
    fields["lists"][0]["content"] = content.decode()
    signed["bundle"] = base64.b64encode(json.dumps(fields).encode()).decode()


def sign_by_another(signed: dict[str, Any]) -> None:
    """Sign by a forger, under the charter of the publisher whom the operator trusts."""
    change_line(signed)
    body = base64.b64decode(signed["bundle"])
    forged = keys.SigningKey(b"f" * 32).sign(keys.FINGERPRINTS, body)
    signed["signatures"] = [base64.b64encode(forged).decode()]


def drop_signature(signed: dict[str, Any]) -> None:
    signed["signatures"] = []


def cut_charter(signed: dict[str, Any]) -> None:
    signed["charters"] = [signed["charters"][0][:40]]


def drop_charters(signed: dict[str, Any]) -> None:
    signed["charters"] = []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_line, "signature of the lists is not valid"),
        (sign_by_another, "signature of the lists is not valid"),
        (drop_signature, "signature of the lists is not valid"),
        (cut_charter, "cannot be read"),
        (drop_charters, "cannot be read"),
    ],
)
def test_what_changed_on_its_way_is_refused(
    two: Collectors, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    two.take(two.publish("good"), "--publisher", two.publisher)
    file = two.publish("better")
    signed = json.loads(file.read_text())
    change(signed)
    file.write_text(json.dumps(signed, separators=(",", ":")))
    for words in ((), ("--publisher", two.publisher)):
        code, text = two.take(file, *words)
        assert code == 1
        assert reason in text
        assert two.lines() == {"good"}


def test_a_stranger_cannot_speak_as_the_publisher(two: Collectors) -> None:
    """A stranger cannot sign as the publisher, even with its charter in front."""
    good = two.publish("good")
    publisher = two.publisher
    two.take(good, "--publisher", publisher)
    stranger = two.publish("evil", "stranger")
    assert "not trusted here" in two.take(stranger)[1]
    assert two.take(stranger, "--publisher", publisher)[0] == 1
    signed = json.loads(stranger.read_text())
    signed["charters"] = json.loads(good.read_text())["charters"] + signed["charters"]
    stranger.write_text(json.dumps(signed, separators=(",", ":")))
    for words in ((), ("--publisher", publisher)):
        assert two.take(stranger, *words)[0] == 1
    assert two.lines() == {"good"}


def test_an_older_version_never_replaces_a_newer_one(two: Collectors) -> None:
    old = two.publish("old")
    new = two.publish("new")
    assert two.take(new, "--publisher", two.publisher)[0] == 0
    code, text = two.take(old, "--publisher", two.publisher)
    assert code == 1
    assert "ask for the newest" in text
    assert two.take(new)[0] == 0, "the same once more is no error"
    assert two.lines() == {"new"}


def sign_bundle(two: Collectors, file: Path, version: int, *lists: tuple[str, str]) -> None:
    """Rewrite a file's lists as somebody who holds the publisher's present key."""
    signing = keys.SigningKey((two.folder / "project" / "keys" / "signing.key").read_bytes())
    signed = json.loads(file.read_text())
    listed = [{"name": n, "content": base64.b64encode(c.encode()).decode()} for n, c in lists]
    body = json.dumps({"version": version, "issued_s": 1, "lists": listed}).encode()
    signed["bundle"] = base64.b64encode(body).decode()
    signature = signing.sign(keys.FINGERPRINTS, body)
    signed["signatures"] = [base64.b64encode(signature).decode()]
    file.write_text(json.dumps(signed, separators=(",", ":")))


def test_a_thief_of_replaced_keys_blocks_no_later_lists(two: Collectors) -> None:
    """He signs a version that no honest one ever reaches; then the theft is noticed."""
    file = two.publish("good")
    two.take(file, "--publisher", two.publisher)
    stolen = two.folder / "stolen.json"
    stolen.write_text(file.read_text())
    sign_bundle(two, stolen, 2**62, ("isp.csv", HEAD + ROW.format(name="evil")))
    assert two.take(stolen)[0] == 0
    assert two.run("project", "keys", "rotate")[0] == 0
    code, text = two.take(two.publish("new"))
    assert (code, two.lines()) == (0, {"new"}), text
    assert two.take(stolen)[0] == 1, "and the stolen key signs nothing any more"
    assert two.lines() == {"new"}


def test_a_bad_list_in_a_signed_file_changes_nothing(two: Collectors) -> None:
    """The publisher is trusted, and its program may be newer than this one."""
    file = two.publish("good")
    two.take(file, "--publisher", two.publisher)
    for name, content, reason in (
        ("isp.csv", HEAD + "x,who,body,full,y,RU,ours\n", "isp.csv:2: column scope"),
        ("../../x.csv", HEAD + ROW.format(name="evil"), "a list's name has letters"),
    ):
        sign_bundle(two, file, 9, (name, content))
        code, text = two.take(file)
        assert code == 1
        assert reason in text
    assert two.lines() == {"good"}


def test_a_charter_that_ended_authorizes_no_new_lists(two: Collectors, tmp_path: Path) -> None:
    file = two.publish("late")
    clock = HandClock(wall=4 * YEAR_US + 60 * YEAR_US)
    with pytest.raises(ListsError, match="charter of the publisher has ended"):
        import_lists(Config(data=tmp_path / "operator"), clock, file, publisher=two.publisher)


def test_what_is_changed_in_the_file_is_left_out(
    two: Collectors, caplog: pytest.LogCaptureFixture
) -> None:
    two.take(two.publish("taken"), "--publisher", two.publisher)
    two.publish("own", "operator")
    assert two.lines() == {"taken", "own"}
    with closing(sqlite3.connect(two.folder / "operator" / "fleet.db")) as db, db:
        swap = "CAST(replace(signed, 'signatures\":[\"', 'signatures\":[\"AAAA') AS BLOB)"
        db.execute(f"UPDATE fingerprint_bundles SET signed = {swap}")
    assert two.lines() == set()
    assert caplog.text.count("must be imported again") == 2
    assert two.publish("again", "operator").exists()
    assert two.lines() == {"again"}


def test_plain_files_of_an_earlier_version_are_signed_once(
    two: Collectors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "operator" / "fingerprints"
    directory.mkdir(parents=True)
    Fleet(tmp_path / "operator").close()  # a collector that never imported by this version
    (directory / "old.csv").write_text(HEAD + ROW.format(name="old"))
    (directory / "bad.csv").write_text("name\n")
    open_lists(tmp_path / "operator", HandClock(), PlainFormat())
    assert two.lines() == {"old"}
    assert "bad.csv:1" in caplog.text
    (directory / "dropped.csv").write_text(HEAD + ROW.format(name="dropped"))
    open_lists(tmp_path / "operator", HandClock(), PlainFormat())
    assert two.lines() == {"old"}
    assert "dropped.csv is not signed" in caplog.text


def test_lists_in_use_stay_while_they_cannot_be_read(
    two: Collectors, caplog: pytest.LogCaptureFixture
) -> None:
    two.publish("own", "operator")
    library = FingerprintLibrary()
    library.watch(SignedLists(two.folder / "operator"))
    (two.folder / "operator" / "fleet.db").write_bytes(b"no database")
    for end in ("-wal", "-shm"):
        (two.folder / "operator" / f"fleet.db{end}").unlink(missing_ok=True)
    for _ in range(2):
        library.refresh()
    assert {f.name for f in library.index.pages if f.source == "ours"} == {"own"}
    assert caplog.text.count("those in use stay") == 1
