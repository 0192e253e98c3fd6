"""Options of a dataclass from the command line; a mistake is one line and exit code 2."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from ditto.types import UserError
from eval.options import exit_code, read_options


@dataclass
class Options:
    n: int = 3
    out: Path = Path("here")


def test_defaults_and_what_was_given():
    assert read_options(Options, []) == Options()
    assert read_options(Options, ["n=5", "out=there"]) == Options(5, Path("there"))


@pytest.mark.parametrize("wrong", ["m=1", "n=many"])
def test_a_mistake_names_the_options(wrong):
    with pytest.raises(UserError, match="options: n, out"):
        read_options(Options, [wrong])


def test_a_user_error_is_one_line(capsys):
    def fails():
        raise UserError("no music: build it")

    assert exit_code(fails) == 2
    assert capsys.readouterr().err == "error: no music: build it\n"
    assert exit_code(lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)
