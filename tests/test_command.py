"""Commands: mistakes are one line and exit code 2, an interruption 130."""

import re
import sys

import pytest

from ditto.command import command
from ditto.types import UserError


def run(monkeypatch, error=None, options=("runs=elsewhere",)):
    @command("evaluate")
    def main(cfg):
        assert cfg.runs == "elsewhere"
        if error:
            raise error

    monkeypatch.setattr(sys, "argv", ["command", *options])
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


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("evaluator/embedding=ears", r"error: there is no evaluator/embedding=ears: choose one of clap, .*musicnn"),
        ("rums=elsewhere", r"error: .*rums.* See python -m \S+ --help$"),
        ("runs=[", "error: no viable alternative"),
    ],
)
def test_options_that_do_not_compose_are_one_line(monkeypatch, capsys, option, line):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, options=(option,))
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert re.match(line, err), err
    assert err.count("\n") == 1


def test_an_error_of_ours_keeps_its_trace(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError("ours"))
