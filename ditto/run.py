"""The command: `python -m ditto.run task=melody method=ditto prompt="a calm jazz song at 90 beats per minute"`.

Composes a configuration with Hydra (`conf/run.yaml`), makes its run directory (`ditto.job`) and ends with exit code
0 done or already there, 1 a failure (its traceback is in status.json), 2 a mistake in the command, 130 interrupted.
Mistakes are one line. Heavy imports wait until there is something to do, so `--help` is quick.
"""

from __future__ import annotations

import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra

from ditto.mistakes import one_line, raised_by_hydra
from ditto.outcome import forget, outcomes

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = Path(__file__).resolve().parents[1] / "conf"
# Experiments and settings of sweeps/ are found from any folder; not in conf/run.yaml, where a path is the caller's.
SEARCH = f'hydra.searchpath=["file://{CONF.parent / "sweeps"}"]'
_MULTIRUN = ("-m", "--multirun")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="run")
def _task(cfg: DictConfig) -> Any:
    """One job; its value is its outcome, which a sweep's launcher collects."""
    from ditto.job import run_job

    return run_job(cfg)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    before = sys.argv
    try:
        sys.argv = [before[0], *_quote_prompt(_search(arguments))]
        multirun = any(flag in arguments for flag in _MULTIRUN)
        forget()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with raised_by_hydra(), _sweeping() if multirun else nullcontext():
            _task()
        return _exit_code(multirun)
    except KeyboardInterrupt:
        if outcomes():
            _exit_code(multirun)
        print("interrupted: the same command goes on with what is missing", file=sys.stderr)
        return 130
    except Exception as error:
        line = one_line(error, "ditto.run")
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 2
    finally:
        sys.argv = before


def _sweeping() -> AbstractContextManager[None]:
    from ditto.sweeping.plugins import known_to_hydra

    return known_to_hydra()


def _exit_code(multirun: bool) -> int:
    """The worst outcome of the command's jobs; a sweep ends with a summary of them."""
    if multirun and outcomes():
        from ditto.sweeping.summary import summary

        print(summary(outcomes()), flush=True)
    return max((outcome.exit_code for outcome in outcomes()), default=0)


def _search(arguments: list[str]) -> list[str]:
    """Look in sweeps/ too, unless the user says where to look; beside the other overrides, as Hydra wants them."""
    if any(word.startswith("hydra.searchpath=") for word in arguments):
        return arguments
    places = [k for k, word in enumerate(arguments) if "=" in word and not word.startswith("-")]
    first = places[0] if places else len(arguments)
    return [*arguments[:first], SEARCH, *arguments[first:]]


def _quote_prompt(arguments: list[str]) -> list[str]:
    """Let an ordinary prompt (commas, apostrophes, colons) pass Hydra's grammar; a sweep quotes its own."""
    if any(flag in arguments for flag in _MULTIRUN):
        return ["-m", *(argument for argument in arguments if argument not in _MULTIRUN)]  # Hydra wants it first
    return [_quote(argument) if argument.startswith("prompt=") else argument for argument in arguments]


def _quote(argument: str) -> str:
    value = argument.removeprefix("prompt=")
    if value.strip() == "null" or value.lstrip()[:1] in ("[", '"', "'"):
        return argument
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'prompt="{escaped}"'


if __name__ == "__main__":
    raise SystemExit(main())
