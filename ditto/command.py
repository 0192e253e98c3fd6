"""What the commands share: a config of conf/, and mistakes as one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra

from ditto import allocator
from ditto.errors import UserError
from ditto.run import CONF

if TYPE_CHECKING:
    from omegaconf import DictConfig


def command(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], Any]]:
    """A function of a config becomes the command whose options are conf/<config_name>.yaml.

    Exit code 2 for a mistake in the options (a UserError, printed as one line), 130 when interrupted.
    """

    def decorate(function: Callable[[DictConfig], None]) -> Callable[[], Any]:
        @hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
        @functools.wraps(function)
        def main(cfg: DictConfig) -> None:
            allocator.keep_buffers()
            GlobalHydra.instance().clear()  # the command line is read; what follows may compose other configs
            try:
                function(cfg)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                sys.exit(2)
            except KeyboardInterrupt:
                print("interrupted: what was measured is kept; the same command goes on", file=sys.stderr)
                sys.exit(130)

        return main

    return decorate
