"""Templates are compiled once per installation, and anew whenever the result would differ."""

from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, nodes

from heliograph_collector.http.compiled_templates import CompiledTemplates


def render(folder: Path, settings: bytes = b"") -> tuple[str, bool]:
    """Render `page.html` as a new process would; return it, and whether it was compiled."""
    compiled: list[str | None] = []

    class Compiling(Environment):
        def _generate(
            self,
            source: nodes.Template,
            name: str | None,
            filename: str | None,
            defer_init: bool = False,
        ) -> str:
            compiled.append(name)
            return super()._generate(source, name, filename, defer_init)

    environment = Compiling(
        loader=FileSystemLoader(folder), bytecode_cache=CompiledTemplates(folder, settings)
    )
    return environment.get_template("page.html").render(name="Aqtau"), bool(compiled)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.dont_write_bytecode", False)  # as images set it
    (tmp_path / "page.html").write_text("Calm in {{ name }}")
    assert render(tmp_path) == ("Calm in Aqtau", True)
    return tmp_path


def test_the_second_start_compiles_nothing(folder: Path) -> None:
    assert render(folder) == ("Calm in Aqtau", False)


def test_a_changed_template_is_compiled_anew(folder: Path) -> None:
    (folder / "page.html").write_text("Dark in {{ name }}")
    assert render(folder) == ("Dark in Aqtau", True)


def test_other_settings_are_compiled_anew(folder: Path) -> None:
    assert render(folder, b"other") == ("Calm in Aqtau", True)


@pytest.mark.parametrize("kept", [0, 20, -10], ids=["nothing", "the head", "most"])
def test_half_a_file_is_compiled_anew(folder: Path, kept: int) -> None:
    (file,) = (folder / "__pycache__").iterdir()
    file.write_bytes(file.read_bytes()[:kept])
    assert render(folder) == ("Calm in Aqtau", True)


def test_where_nothing_can_be_written_each_start_compiles(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("Calm in {{ name }}")
    (tmp_path / "__pycache__").write_text("no folder")
    assert render(tmp_path) == ("Calm in Aqtau", True)
    assert render(tmp_path) == ("Calm in Aqtau", True)


def test_python_that_writes_no_bytecode_writes_none_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "page.html").write_text("Calm in {{ name }}")
    assert render(tmp_path) == ("Calm in Aqtau", True)
    assert not (tmp_path / "__pycache__").exists()
