"""Commands: mistakes are one line and exit code 2, an interruption 130."""

import sys

import pytest

from ditto.command import command
from ditto.types import UserError


def run(monkeypatch, error=None):
    @command("evaluate")
    def main(cfg):
        assert cfg.runs == "elsewhere"
        if error:
            raise error

    monkeypatch.setattr(sys, "argv", ["command", "runs=elsewhere"])
    main()


def test_options_of_the_command_line_reach_the_function(monkeypatch):
    run(monkeypatch)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("do this"), 2, "error: do this\n"),
        (KeyboardInterrupt(), 130, "interrupted: what was measured is kept"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, error, code, line):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, error)
    assert ended.value.code == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1
