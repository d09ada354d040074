"""Files that are no data at all: an error page, an archive, nothing.

A download that failed often leaves a file under the right name. It is refused by what it is, and
not by the column that it lacks.
"""

from pathlib import Path

from heliograph_collector.sources.complaints import ImportRefusedError
from heliograph_collector.sources.json_objects import read_head

_SIGNATURES = {  # first bytes, as each format's specification has them
    b"PK\x03\x04": "a ZIP archive or a workbook: unpack it, or save it as CSV",
    b"PAR1": "a Parquet file: save it as CSV",
    b"\x1f\x8b": "packed twice: unpack it once",
    b"BZh": "packed twice: unpack it once",
    b"\xfd7zXZ": "packed with xz: unpack it",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"SQLite format 3": "a database: save its table as CSV",
    b"%PDF": "a PDF: save its table as CSV",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")


def refuse_foreign(path: Path) -> None:
    """Raise ImportRefusedError if a file is empty, packed, a page, or no text."""
    head = read_head(path)
    for signature, description in _SIGNATURES.items():
        if head.startswith(signature):
            raise ImportRefusedError(f"{path} is {description}.")
    text = head.strip()
    if not text:
        raise ImportRefusedError(f"{path} is empty: download it again.")
    if text[:10].lower().startswith(_PAGES):
        raise ImportRefusedError(
            f"{path} is a web page and no data, perhaps of an error: download it again."
        )
    if b"\0" in head:
        raise ImportRefusedError(f"{path} is no text in UTF-8: save it as CSV or JSON in UTF-8.")
