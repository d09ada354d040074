"""The documents are true: commands and paths exist, each folder has a manual."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_agent.cli import MODULES
from heliograph_collector.cli import COMMANDS

ROOT = Path(__file__).parents[2]
COMMITTED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]
ALLOWED_TOP = {
    "pyproject.toml", "README.md", "agent", "collector", "proto", "tests", "deploy", "Makefile",
    "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
}  # fmt: skip
# Spelled in pieces, so that this file does not find itself.
FOREIGN = re.compile(
    "|".join(["/wo" + "rk/", "farm" + "-studio", "pypi" + r"\.org", "npmjs" + r"\.org"])
)
COLLECTOR = "collector/heliograph_collector"
FOLDERS = ["agent", "agent/raw", "collector", "proto", "tests"]
FOLDERS += ["deploy", "deploy/agent", "deploy/collector"]
FOLDERS += [f"{COLLECTOR}/{stage}" for stage in ("store", "judge", "http", "detect", "incidents")]
FOLDERS += [f"{COLLECTOR}/detect/{channel}" for channel in ("silence", "level", "blocking")]
FOLDERS += [f"collector/heliograph_lab/{part}" for part in ("evaluate", "simulate")]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/collector/README.md"]
DOCUMENTS += ["deploy/README.md"]
PROGRAMS = {"heliograph-agent": MODULES, "heliograph-collector": COMMANDS}
# Where a path of a document may begin, besides the root.
BASES = ["", "agent/heliograph_agent", COLLECTOR, "proto/heliograph", "tests", f"{COLLECTOR}/judge"]
PATH = re.compile(r"(?<![\w/.:-])((?:[\w{},.-]+/)+[\w{},.-]*|[a-z_]+\.(?:py|yml|md))(?=[`)\s#])")
PLACEHOLDER = re.compile(
    r"(?<![A-Z])(?!README)[A-Z]{4,}|\bntp\b|_ntp|\{|heliograph-data|I/O|results/s"
)


def test_top_level_is_as_promised() -> None:
    top = {name.split("/")[0] for name in COMMITTED}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED_TOP


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_has_its_manual(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text()) > 300


@pytest.mark.parametrize("name", [name for name in COMMITTED if name.endswith(".md")])
def test_lines_of_prose_fit_a_hundred_columns(name: str) -> None:
    """Lines of prose fit a hundred columns: tables and what is quoted as code may be wider."""
    wide, is_code = [], False
    for number, line in enumerate((ROOT / name).read_text().split("\n"), start=1):
        is_code ^= line.lstrip().startswith("```")
        if len(line) > 100 and not is_code and not line.lstrip().startswith("|"):
            wide.append(f"{name}:{number}: {len(line)} columns")
    assert not wide


def test_no_file_names_the_workplace() -> None:
    texts = (ROOT / name for name in COMMITTED if Path(name).suffix not in (".bin", ".png", ".ttf"))
    matches = [
        f"{path}: {match.group(0)}"
        for path in texts
        if path.is_file()
        for match in FOREIGN.finditer(path.read_text())
    ]
    assert not matches


def test_nothing_tells_anybody_to_install_us_by_name() -> None:
    """No document installs us by name, as a stranger could register the name first."""
    by_name = re.compile(r"install(?: -\S+)* ['\"`]?heliograph(?:-raw)?(?:\[|['\"`.]|\s|$)", re.M)
    matches = [
        f"{name}: {match.group(0)!r}"
        for name in COMMITTED
        if (ROOT / name).is_file() and Path(name).suffix not in (".bin", ".png", ".ttf")
        for match in by_name.finditer((ROOT / name).read_text())
    ]
    assert not matches


@pytest.mark.parametrize("document", [*DOCUMENTS, "tests/README.md", "CHANGELOG.md"])
def test_make_targets_of_document_exist(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    promised = set(re.findall(r"`make ([a-z]+)", (ROOT / document).read_text()))
    assert promised <= targets


@pytest.mark.parametrize("document", [*DOCUMENTS, "deploy/agent/README.md", "CHANGELOG.md"])
def test_program_commands_of_document_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for program, commands in PROGRAMS.items():
        promised = set(re.findall(rf"{program} ([a-z]+)\b(?![-./])", text))
        assert promised <= set(commands), program


def test_command_table_of_readme_names_collector_commands() -> None:
    """Its first column: `agents list`, `plan set FILE`, ..."""
    operator = (ROOT / "README.md").read_text().partition("## Operator")[2].partition("## ")[0]
    rows = [line.split("|")[1] for line in operator.splitlines() if line.startswith("| `")]
    promised = {words.split()[0] for row in rows for words in re.findall(r"`([^`]+)`", row)}
    assert len(promised) > 10
    assert promised <= set(COMMANDS)


def paths(document: str) -> Iterator[str]:
    for match in PATH.finditer((ROOT / document).read_text()):
        path = match.group(1).rstrip(".,")
        if not PLACEHOLDER.search(path) and not path.startswith(("/", ".")):
            yield path


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "tests/README.md"])
def test_paths_of_document_exist(document: str) -> None:
    names = {Path(name).name for name in COMMITTED}
    lost = {
        path
        for path in paths(document)
        if not any((ROOT / base / path).exists() for base in BASES) and path not in names
    }
    assert not lost


NAME = re.compile(r"`(_[a-z_]+|[A-Z][A-Z_]{3,}|[A-Z][a-z]+[A-Z]\w+)`")  # of code, as in recipes


def test_names_in_the_recipes_are_names_in_the_code() -> None:
    recipes = (ROOT / "CONTRIBUTING.md").read_text()
    names = set(NAME.findall(recipes)) - {"NAME", "LAYER", "CATEGORY"}
    python = [name for name in COMMITTED if name.endswith(".py")]
    sources = "\n".join((ROOT / name).read_text() for name in python if (ROOT / name).is_file())
    words = set(re.findall(r"\w+", sources))
    assert len(names) > 15
    assert [name for name in sorted(names) if name not in words] == []


def test_where_to_look_names_what_is_in_the_file_that_it_links() -> None:
    folder = ROOT / "collector"
    manual = (folder / "README.md").read_text()
    targets = dict(re.findall(r"^\[(\w+)\]: ([^\s#]+)", manual, re.MULTILINE))
    table = manual.partition("## Where to look")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if "`" in line and line.startswith("| ")]
    assert len(rows) > 8
    for row in rows:
        files = [folder / targets[link] for link in re.findall(r"\]\[(\w+)\]", row)]
        code = "".join(file.read_text() for file in files)
        for name in re.findall(r"`(\w+)`", row):
            assert re.search(rf"(def|class) {name}\b|\b{name}(:| =)", code), row


def list_module_rows(folder: Path) -> Iterator[str]:
    for manual in [folder / "README.md", *folder.glob("*/README.md")]:
        yield from re.findall(r"^\| (`.*?) \|", manual.read_text(), re.MULTILINE)


def test_the_tables_of_the_detectors_name_each_of_their_modules() -> None:
    """The tables of the detectors name each of their modules.

    A reader looks rules up there; a row without a file is left over from a move.
    """
    folder = ROOT / COLLECTOR / "detect"
    named: set[str] = set()
    for row in list_module_rows(folder):
        names = re.findall(r"`([\w./]+\.py)`", row)
        parent = names[0].rpartition("/")[0] if names else ""  # where the others name none
        named |= {n if "/" in n or not parent else f"{parent}/{n}" for n in names}
    modules = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    own = {name for name in named if not name.startswith("../")}
    assert own == {name for name in modules if not name.endswith("__init__.py")}
