"""Commands answer quickly: heavy packages are imported when they are needed, and --help does not need them.

What is imported is a list, the same on every machine; only one test looks at a clock, that of the processor.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Seconds to load; what stands in no list here loads in a few hundredths.
SLOW = {
    "diffusers",
    "transformers",
    "scipy",
    "numba",
    "matplotlib",
    "pytorch_lightning",
    "torchmetrics",
    "wandb",
    "ray",
}
HEAVY = SLOW | {"torch", "pandas", "numpy"}
OPTIONAL = ("laion_clap", "frechet_audio_distance", "torchvision", "torchaudio", "music21", "tinysoundfont")
# What people ask for help first; everything that they compute with waits until the options are read.
LIGHT = (
    "ditto.run",
    "ditto.runs.__main__",
    "ditto.training.train",
    "ditto.data.build",
    "ditto.loggers.evaluation",
    "eval.benchmark.__main__",
    "eval.efficiency.__main__",
    "eval.figures.__main__",
    "eval.models.__main__",
    "eval.report.__main__",
    "eval.startup.__main__",
    "eval.tables.__main__",
)
# Commands of development, which may be slow to start: they train, convert or ship weights.
SELDOM = ("baselines.", "ditto.training.", "eval.convert_", "eval.recognition.train", "eval.text.train")
WATCH = """
import importlib, json, sys
found = {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    found[name] = sorted({word.partition(".")[0] for word in set(sys.modules) - before} & set(sys.argv[1].split(",")))
print(json.dumps(found))
"""


def python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def imported(names: tuple[str, ...], packages: set[str]) -> dict[str, list[str]]:
    """Module -> those of the packages that it is the first to import."""
    return json.loads(python("-c", WATCH, ",".join(packages), *names))


def commands() -> list[str]:
    """Every module that is run with python -m."""
    files = [file for part in ("ditto", "baselines", "eval") for file in sorted((ROOT / part).rglob("*.py"))]
    runs = [file for file in files if 'if __name__ == "__main__":' in file.read_text()]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in runs]


def test_the_commands_that_people_use_first_import_nothing_heavy() -> None:
    assert set(LIGHT) <= set(commands())
    found = imported(("ditto", "baselines", "eval", *LIGHT), HEAVY)
    assert not {name: packages for name, packages in found.items() if packages}


def test_no_other_command_imports_what_takes_seconds() -> None:
    others = tuple(name for name in commands() if name not in LIGHT and not name.startswith(SELDOM))
    assert len(others) > 10
    found = imported(others, SLOW)
    assert not {name: packages for name, packages in found.items() if packages}


def test_help_takes_less_than_three_seconds() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = python("-m", "ditto.run", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "task" in out
    assert "prompt" in out
    # Processor time: on a busy machine the clock on the wall says nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


@pytest.mark.parametrize(
    "command", [("ditto.run", "--cfg", "job"), ("ditto.data.build", "--help"), ("ditto.runs", "-h")]
)
def test_help_itself_loads_nothing_heavy_either(command: tuple[str, ...]) -> None:
    """Not only the module: parsing and printing, with Hydra's plugins."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *command], capture_output=True, text=True, check=True
    )
    assert done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert not loaded & HEAVY


def test_every_module_imports_without_the_optional_packages() -> None:
    python("-c", f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({OPTIONAL}))
import baselines, ditto, eval
for package in (ditto, baselines, eval):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
""")  # fmt: skip
