"""`python -m eval.benchmark`: seconds of an optimisation step, lever by lever, against a plain reference."""

from __future__ import annotations

import sys
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.command import command


@command("benchmark")
def main(cfg: DictConfig) -> None:
    from eval.benchmark.command import run

    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    try:
        page = run(options)
    except KeyboardInterrupt:
        print(
            "interrupted: the whole rounds so far are kept; the same command starts anew, beside them", file=sys.stderr
        )
        sys.exit(130)
    print(f"written to {page} and {page.with_suffix('.csv').name} beside it")


if __name__ == "__main__":
    main()
