"""The checked-in stubs equal the pinned generator's output of the .proto files."""

import os
import shutil
import subprocess
from pathlib import Path

from support.requirements import require

ROOT = Path(__file__).parents[2]
V1 = ROOT / "proto" / "heliograph" / "v1"
PROGRAMS = ROOT / ".venv-stubs" / "bin"  # what make stubs makes: the generator is kept apart


def test_stubs_are_fresh(tmp_path: Path) -> None:
    is_there = (PROGRAMS / "python").exists()
    require(is_there, "needs the generator in .venv-stubs (make .venv-stubs/ready)")
    fresh = tmp_path / "proto" / "heliograph" / "v1"
    fresh.mkdir(parents=True)
    for proto in V1.glob("*.proto"):
        shutil.copy(proto, fresh)
    protoc = [str(PROGRAMS / "python"), "-m", "grpc_tools.protoc", "-I", "proto"]
    protos = sorted(str(p.relative_to(tmp_path)) for p in fresh.glob("*.proto"))
    intake = "proto/heliograph/v1/intake.proto"
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    for arguments in (
        ["--python_out=proto", "--mypy_out=quiet:proto", *protos],
        ["--grpc_python_out=proto", "--mypy_grpc_out=quiet:proto", intake],
    ):
        subprocess.run(
            [*protoc, *arguments], cwd=tmp_path, check=True, env={**os.environ, "PATH": path}
        )
    stale = [
        stub.name
        for stub in sorted(fresh.glob("*_pb2*"))
        if not (V1 / stub.name).exists() or (V1 / stub.name).read_bytes() != stub.read_bytes()
    ]
    assert not stale, f"run `make stubs`: {stale}"
    assert {p.name for p in V1.glob("*_pb2*")} == {p.name for p in fresh.glob("*_pb2*")}
