"""Time, network calls and memory of the methods, measured in one interleaved run: `python -m eval.efficiency`.

Writes <results>/efficiency.csv after every call, so that Ctrl-C keeps the rows so far, and efficiency.md beside the
paper's figures at the end. `eval.efficiency` has the definitions. Options: conf/efficiency.yaml.
"""

from __future__ import annotations

from omegaconf import DictConfig

from ditto.command import command


@command("efficiency", interrupted="the rows so far are kept")
def main(cfg: DictConfig) -> None:
    measure(cfg)


def measure(cfg: DictConfig) -> None:
    """Run, and say where the result is."""
    from eval.efficiency.command import run  # PyTorch is behind it: --help does not wait for it

    stem = f"{cfg.results}/{cfg.name}"
    result = run(cfg)
    print(f"{len(result)} rows, written to {stem}.csv" + (f" and {stem}.md" if cfg.page else ""))


if __name__ == "__main__":
    main()
