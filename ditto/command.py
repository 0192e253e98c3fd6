"""What the commands share: a config of conf/, and mistakes as one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import hydra
from hydra.core.global_hydra import GlobalHydra

from ditto import allocator
from ditto.mistakes import one_line, raised_by_hydra
from ditto.run import CONF

if TYPE_CHECKING:
    from omegaconf import DictConfig


def command(
    config_name: str, interrupted: str = "what was measured is kept; the same command goes on"
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """A function of a config becomes the command whose options are conf/<config_name>.yaml.

    Exit code 2 for a mistake in the options (a UserError, options that do not compose), printed as one line; 130 when
    interrupted, and `interrupted` says what is kept.
    """

    def decorate(function: Callable[[DictConfig], None]) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
        @functools.wraps(function)
        def compose_and_run(cfg: DictConfig) -> None:
            allocator.keep_buffers()
            GlobalHydra.instance().clear()  # the command line is read; what follows may compose other configs
            with _mistakes_as_lines(interrupted):  # in here too: Hydra prints a line about what passes through it
                function(cfg)

        @functools.wraps(function)
        def main() -> None:
            with _mistakes_as_lines(interrupted), raised_by_hydra():
                compose_and_run()

        return main

    return decorate


@contextmanager
def _mistakes_as_lines(interrupted: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted: {interrupted}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        line = one_line(error, _called())
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


def _called() -> str:
    """X of `python -m X`."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else sys.argv[0]
