"""Time, network calls and memory of the methods, measured in one interleaved run: `python -m eval.efficiency`.

Writes <results>/efficiency.csv after every call, so that Ctrl-C keeps the rows so far, and efficiency.md beside the
paper's figures at the end. `eval.efficiency` has the definitions. Options: conf/efficiency.yaml.
"""

from __future__ import annotations

import sys

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from ditto.errors import UserError
from eval.asked import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="efficiency")
def main(cfg: DictConfig) -> None:
    command_line(cfg)


def command_line(cfg: DictConfig) -> None:
    """Run, say where the result is; exit code 2 for a mistake in the options, 130 when interrupted."""
    from eval.efficiency.command import run  # PyTorch is behind it: --help does not wait for it

    GlobalHydra.instance().clear()  # the command line is read; each case composes its own
    stem = f"{cfg.results}/{cfg.name}"
    try:
        result = run(cfg)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"interrupted: the rows so far are in {stem}.csv", file=sys.stderr)
        sys.exit(130)
    print(f"{len(result)} rows, written to {stem}.csv" + (f" and {stem}.md" if cfg.page else ""))


if __name__ == "__main__":
    main()
