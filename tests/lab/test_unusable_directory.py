"""On a full or read-only disk every command answers one sentence with its cure."""

from pathlib import Path

from support.small_disk import told_by

CURES = (
    "make it writable", "free space", "make room", "let this user write", "let the agent reach",
)  # fmt: skip
WORKS_ON_A_FULL_DISK = ("agent status", "agent status --json", "--yes", "pause")  # writes no byte


def test_each_command_names_the_place_and_the_cure(tmp_path: Path) -> None:
    answers = told_by("support.unusable_directory", tmp_path, timeout_s=120)
    wrong = {}
    for kind, commands in answers.items():
        for command, answer in commands.items():
            sentence = answer["err"] + (answer["out"] if command.endswith("doctor") else "")
            can_work = kind == "full" and command.endswith(WORKS_ON_A_FULL_DISK)
            has_cure = answer["code"] == 1 and any(cure in sentence for cure in CURES)
            names_place = str(tmp_path) in sentence and "Traceback" not in sentence
            if not (answer["code"] == 0 if can_work else has_cure and names_place):
                wrong[kind, command] = answer
    assert len(answers["read-only"]) == 28
    assert not wrong
