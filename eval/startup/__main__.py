"""`python -m eval.startup`: seconds until --help, a loaded model, 20 sampled steps and a clip, in fresh processes.

Writes <results>/startup.csv and the table of docs/profile.md. Options: conf/startup.yaml.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.command import command


@command("startup")
def main(cfg: DictConfig) -> None:
    from eval.startup.command import run  # PyTorch and pandas are behind it: --help does not wait for them

    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    frame = run(options)
    print(f"{len(frame)} rows, written to {cfg.results}/{cfg.name}.csv" + (f" and {cfg.page}" if cfg.page else ""))


if __name__ == "__main__":
    main()
