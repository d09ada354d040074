"""Compiled templates beside their sources, as Python keeps its modules'.

To compile the public pages takes longer than to read all else that they show.
"""

import os
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError

import jinja2
from jinja2.bccache import Bucket, BytecodeCache


class CompiledTemplates(BytecodeCache):
    """Files in `__pycache__` of a folder of templates; where none can be written, nothing is kept.

    The files need no other protection than Python's own beside them: who can write there can
    change the program itself.
    """

    def __init__(self, templates: Path, settings: bytes) -> None:
        """Keep what was compiled with these settings.

        Args:
            templates: The folder of the templates.
            settings: What the result depends on beside the source, as the code that sets it.
        """
        self._folder = templates / "__pycache__"
        self._settings = jinja2.__version__.encode() + settings

    def get_source_checksum(self, source: str) -> str:
        return sha256(self._settings + source.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, EOFError, UnpicklingError):
            bucket.bytecode_from_string(self._name_file(bucket).read_bytes())

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        file = self._name_file(bucket)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        with suppress(OSError):  # a read-only installation compiles at each start
            self._folder.mkdir(exist_ok=True)
            part.write_bytes(bucket.bytecode_to_string())
            part.replace(file)

    def _name_file(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}.{sys.implementation.cache_tag}"
