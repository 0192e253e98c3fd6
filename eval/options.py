"""Commands whose options are the fields of a dataclass: `name=value` on the command line, a mistake is one line."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ditto.types import UserError

T = TypeVar("T")


def read_options(kind: type[T], given: Sequence[str]) -> T:
    """A dataclass with its defaults and what was given; UserError with its fields for another name or a wrong type."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.from_dotlist(list(given)))
    except OmegaConfBaseException as error:
        raise UserError(f"{str(error).splitlines()[0]}; options: {', '.join(kind.__annotations__)}") from error
    options = OmegaConf.to_object(merged)
    assert isinstance(options, kind)
    return options


def exit_code(main: Callable[[], None]) -> int:
    """Run a command: 0, or 2 after one line for a UserError."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
