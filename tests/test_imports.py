"""Commands answer quickly: heavy packages are imported when they are needed, and --help does not need them."""

import resource
import subprocess
import sys

HEAVY = {"torch", "librosa", "transformers", "diffusers", "pytorch_lightning", "wandb", "pandas", "matplotlib"}
OPTIONAL = ("laion_clap", "frechet_audio_distance", "torchvision", "torchaudio", "music21", "tinysoundfont")


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def test_the_command_imports_nothing_heavy():
    loaded = python("-c", "import ditto, baselines, eval, ditto.run, sys; print(*sys.modules)").split()
    assert not set(loaded) & HEAVY


def test_help_takes_less_than_three_seconds():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = python("-m", "ditto.run", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "task" in out
    assert "prompt" in out
    # Processor time: on a busy machine the clock on the wall says nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_every_module_imports_without_the_optional_packages():
    python("-c", f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({OPTIONAL}))
import baselines, ditto, eval
for package in (ditto, baselines, eval):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
""")  # fmt: skip
