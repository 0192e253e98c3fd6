"""The paper's tables 1 to 11, ours beside the reported figures: `python -m eval.tables runs=runs`.

Writes <results>/tables/table<k>.md, .csv and .tex, and an index, README.md. A place without a figure is empty, and the
command that makes it stands below the table; `python -m eval.tables --missing` prints these commands, grouped into
sweeps, and computes nothing. Options: conf/tables.yaml.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from ditto.command import command


@command("tables")
def _main(cfg: DictConfig) -> None:
    from eval.tables.command import missing, run  # PyTorch and pandas are behind it: --help does not wait for them

    lines = missing(cfg) if cfg.missing else [str(path) for path in run(cfg)]
    print("\n".join(lines))


def main() -> None:
    """The command; --missing is another word for missing=true."""
    sys.argv[1:] = ["missing=true" if word == "--missing" else word for word in sys.argv[1:]]
    _main()


if __name__ == "__main__":
    main()
