"""The page of sound examples from finished runs: `python -m eval.report runs=runs`.

Writes one HTML file that needs no network: for every task and the first `prompts` prompts the clips of all methods side
by side (sound, spectrogram, what was asked against what was achieved, metrics, loss), then the tables and figures that
are in `results`. The runs are those of `python -m eval.methods` (`eval.comparable`); missing ones are named on the page
with the command that makes them. Sound and spectrograms are kept in `<runs>/cache/report` by the hash of their wave.
`screenshot=FILE.png` also writes what Chromium shows of the page, where it is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.errors import UserError


def run(cfg: DictConfig) -> Path:
    """Read the runs and write the page; returns its path."""
    from ditto.run_directory import write_bytes  # PyTorch and pandas are behind these: --help does not wait for them
    from eval.comparable import collect
    from eval.report.page import page
    from eval.report.screenshot import screenshot

    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if not 1 <= options["prompts"] <= options["n"]:
        raise UserError(f"prompts={options['prompts']}: choose 1 to n={options['n']}")
    html = page(options, collect(options)).encode()
    out = Path(options["out"])
    write_bytes(out, html)
    size, limit = len(html) / 1e6, options["max_mb"]
    print(f"{out}: {size:.1f} MB")
    if size > limit:
        print(f"warning: larger than max_mb={limit:g}: try bitrate=32 or prompts=2", file=sys.stderr)
    if options["screenshot"]:
        print(screenshot(out, Path(options["screenshot"]), options["screenshot_view"]))
    return out


@command("report")
def main(cfg: DictConfig) -> None:
    run(cfg)


if __name__ == "__main__":
    main()
