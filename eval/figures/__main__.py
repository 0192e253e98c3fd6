"""Draw the figures whose runs are there: `python -m eval.figures runs=runs`, or some: `figures=[3,4]`.

Writes <results>/figures/figure<k>.png, figure<k>.csv and the index README.md. A figure whose runs are missing is
skipped with one line that names the command; the exit code is 0 if at least one was drawn, else 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.errors import UserError


def run(cfg: DictConfig) -> list[Path]:
    """Draw what is asked for, write the index, return the files written."""
    from ditto.build import build  # PyTorch is behind it: --help does not wait for it
    from eval.figures.index import stem, write_index

    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    defined = {str(name): entry for name, entry in options.pop("drawn").items()}
    folder, written = Path(options["results"]) / "figures", []
    for name in _chosen(options["figures"], defined):
        draw = build(defined[name]["draw"], f"drawn.{name}.draw")
        try:
            written += draw(options, folder / f"{stem(name)}.png")
        except UserError as error:
            print(f"{stem(name)} skipped: {error}", file=sys.stderr)
    if not written:
        raise UserError(f"no figure was drawn from {options['runs']}")
    return [*written, write_index(folder, defined)]


def _chosen(asked: list[Any] | None, defined: dict[str, Any]) -> list[str]:
    names = list(defined) if asked is None else [str(name) for name in asked]
    unknown = [name for name in names if name not in defined]
    if unknown:
        raise UserError(f"figures={unknown} are not there: choose {', '.join(defined)}")
    return names


@command("figures")
def main(cfg: DictConfig) -> None:
    written = run(cfg)
    print("\n".join(str(path) for path in written))


if __name__ == "__main__":
    main()
