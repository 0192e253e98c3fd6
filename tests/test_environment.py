"""The commit that stands beside every figure: marked when the code differs from it, not when results do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ditto import environment


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def test_new_results_do_not_mark_the_commit_and_changed_code_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, table = tmp_path / "ditto" / "environment.py", tmp_path / "results" / "table.csv"
    for file in (code, table):
        file.parent.mkdir()
        file.write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "all")
    monkeypatch.setattr(environment, "__file__", str(code))
    clean = environment.commit()
    assert len(clean) == 12
    table.write_text("n\n8\n")
    assert environment.commit() == clean
    code.write_text("changed = True\n")
    assert environment.commit() == clean + "+"
    shutil.rmtree(tmp_path / ".git")
    assert environment.commit() == "unknown"
