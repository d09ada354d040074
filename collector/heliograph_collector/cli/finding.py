"""Result of one check of `doctor`."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    sentence: str

    def to_json(self) -> dict[str, str]:
        return {"level": self.level.value, "subject": self.subject, "sentence": self.sentence}


def select_certificate(pem: bytes) -> bytes:
    """Return the certificate of a file that begins with its key. Raises ValueError."""
    return pem[pem.index(b"-----BEGIN CERTIFICATE") :]
