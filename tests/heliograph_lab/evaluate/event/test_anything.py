"""Whatever a file holds, it is read or refused with a sentence; nothing else comes of it."""

from pathlib import Path
from random import Random

import pytest

from heliograph_lab.evaluate.event import ImportRefusedError, account, load, text

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("ioda-signals.json", "ioda-export-IR.csv", "atlas-connections.jsonl", "atlas-probes.json")
BITS = (b"null", b"-1", b"1e999", b"NaN", b'""', b"[]", b"{}", b"true", b"\xff", b"\0", b"\n", b",")


@pytest.mark.parametrize("seed", range(60))
def test_a_spoilt_file_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    name = NAMES[seed % len(NAMES)]
    body = bytearray((FIXTURES / name).read_bytes())
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(body))
        body[at : at + rng.choice((0, 1, 4, 40))] = rng.choice(BITS)
    path = tmp_path / name
    path.write_bytes(bytes(body))
    said = told(path, rng.choice(("", "IR")))
    assert said.endswith(".") or "confirmed" in said


def told(path: Path, entity: str) -> str:
    try:
        return text(account(load(path, entity)))
    except ImportRefusedError as error:
        return str(error)


@pytest.mark.parametrize(
    "body", [b"", b"\0" * 99, b"\x1f\x8b", b"BZh9", b"{", b'{"prb_id":1}', b"time\n"]
)
def test_what_holds_nothing_is_refused(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    path.write_bytes(body)
    with pytest.raises(ImportRefusedError):
        load(path)
