"""The lookout with its files: checkpoints, the log, what late data amended. Nothing here waits for
the network; the detector calls it in a thread, one call at a time."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from heliograph.keys import SigningKey
from heliograph_collector.detect import checkpoint
from heliograph_collector.detect.engine import CLOSE_US, Frame, Lookout
from heliograph_collector.detect.late_data import amended
from heliograph_collector.incidents.book import Entry
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.log_file import FILE, Grounds
from heliograph_collector.incidents.log_writer import REMEMBERED_US, Ledger
from heliograph_collector.incidents.operator_entries import Saying
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import SECOND_US, Opinion

SAVE_US = 3_600 * SECOND_US
_SAY_US = 60 * SECOND_US  # what was held back for being a particular is tried again
_AMENDED = "amended.json"
_HEARD = "heard.json"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a keeper works with. `versions` are those of code and data, for the log."""

    data: Path
    journal: str  # its id
    secret: bytes
    key: SigningKey
    versions: Mapping[str, str]
    k_anonymity: int


class _Heard(msgspec.Struct):
    journal: str
    position: int


class Keeper:
    """Opens and proves the log. Raises AlertLogError, OSError."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._folder = study.data / checkpoint.FOLDER
        self.ledger = Ledger(study.data / FILE, study.key, study.k_anonymity)
        self.lookout = Lookout.new(study.journal, study.secret, 0)
        self._saved = checkpoint.Saved(self._folder, "")
        self._saved_us = 0
        self._frames: list[Frame] = []  # not yet written down
        self._amended: dict[str, Incident] = {}
        self._said: tuple[int, Sequence[Incident]] = (0, ())
        self.heard: int | None = None  # the last entry of whose verdicts nothing can be lost
        self.wrote = False  # whether all that was heard before the last look is written down

    def resume(self, last: int, now_us: int) -> None:
        """Take up the newest checkpoint that can be gone on from, or begin before the oldest row.

        `last` is the journal's last position. Raises OSError.
        """
        study = self._study
        self._load_amended()
        self._load_heard()
        found = checkpoint.newest(self._folder, study.journal, last, study.secret)
        if found is None:
            self.lookout = Lookout.new(study.journal, study.secret, now_us)
            self.lookout.adopt(self.ledger.said.values())
            self.save(now_us)
            return
        self.lookout, self._saved = found
        self._saved_us = self.lookout.received_us
        checkpoint.mend(self._saved.opinions)
        for frame in checkpoint.frames(self._saved.opinions):
            self.lookout.again(frame)

    def save(self, now_us: int) -> None:
        """Raises OSError: then what is known stays known, and the next look tries again."""
        self._saved = checkpoint.save(self._folder, self.lookout)
        self._frames.clear()  # the state holds what came of them
        self._saved_us = now_us

    def read(self, rows: Sequence[JournalRow]) -> None:
        self.lookout.read(rows)

    def look(self, heard: Iterable[Opinion], now_us: int) -> list[Opinion]:
        """Let time pass; what of `heard` came too late. Raises OSError.

        First the bins are closed: they take in what came before this look.
        """
        lookout = self.lookout
        lookout.until(now_us)
        frame = lookout.close(now_us - CLOSE_US)
        if frame is not None and frame[2]:
            self._write(frame)
        late = [opinion for opinion in heard if not lookout.hear(opinion)]
        over = lookout.glance(now_us)
        if over is not None:
            self._write(over)
        self.wrote = frame is not None
        if now_us - self._saved_us >= SAVE_US or not lookout.traceable:
            lookout.forget(now_us)
            self._amended = {
                name: incident
                for name, incident in self._amended.items()
                if (incident.closed_us or now_us) >= now_us - REMEMBERED_US
            }
            self.save(now_us)
        return late

    def _write(self, frame: Frame) -> None:
        """After those that could not be written before. Raises OSError."""
        self._frames.append(frame)
        while self._frames:
            checkpoint.add(self._saved, self._frames[0])
            del self._frames[0]

    def say(self, now_us: int) -> Sequence[Entry]:
        """Write down what is new. Raises OSError, AlertLogError."""
        found = amended(self.lookout.incidents(), self._amended)
        when_us, before = self._said
        if found == before and now_us - when_us < _SAY_US:
            return ()
        entries = self.ledger.say(found, self._grounds(now_us), now_us, self._amended)
        self._said = now_us, found
        return entries

    def act(self, saying: Saying, now_us: int) -> Entry:
        """Write down an operator's word. Raises ActError, OSError."""
        return self.ledger.act(saying, now_us)

    def amend(self, found: Mapping[str, Incident]) -> None:
        """Know these better than the live channel does. Raises OSError."""
        if found:
            self._amended.update(found)
            self._put(_AMENDED, self._amended)
            self._said = 0, ()

    def note(self, position: int) -> None:
        """Of verdicts up to this entry all is written down, or was looked at. Raises OSError."""
        if position != self.heard:
            self._put(_HEARD, {"journal": self._study.journal, "position": position})
            self.heard = position

    def _load_heard(self) -> None:
        """What is damaged, or of another journal, is as good as not there."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found = msgspec.json.decode((self._folder / _HEARD).read_bytes(), type=_Heard)
            self.heard = found.position if found.journal == self._study.journal else None

    def _put(self, name: str, content: object) -> None:
        file = self._folder / name
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(content))
        new.replace(file)

    def _load_amended(self) -> None:
        """What is damaged is as good as not there: late data would bring it up again."""
        try:
            content = (self._folder / _AMENDED).read_bytes()
            self._amended = msgspec.json.decode(content, type=dict[str, Incident])
        except (OSError, msgspec.MsgspecError):
            self._amended = {}

    def _grounds(self, now_us: int) -> Grounds:
        lookout, saved = self.lookout, self._saved
        first = int(saved.file.stem.partition("-")[0]) + 1
        return Grounds(
            first,
            max(lookout.position, first - 1),
            self._saved_us,
            now_us,
            {
                **self._study.versions,
                "k": str(self._study.k_anonymity),
                "state": saved.hash,
            },
            tuple(lookout.late),
        )
