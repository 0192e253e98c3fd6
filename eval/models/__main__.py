"""`python -m eval.models`: what every model costs, counted on shapes alone, and measured where there is a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.command import command


@command("models")
def main(cfg: DictConfig) -> None:
    from eval.models.command import run  # PyTorch is behind it: --help does not wait for it
    from eval.models.page import write_costs

    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    frame = run(options)
    written = f"{options['results']}/{options['name']}.csv"
    if options["page"]:
        write_costs(frame, Path(options["page"]))
        written += f" and {options['page']}"
    print(f"{len(frame)} rows, written to {written}")


if __name__ == "__main__":
    main()
