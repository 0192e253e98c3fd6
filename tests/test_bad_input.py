"""Mistakes in the command: one clear line, an exit code, and nothing left behind."""

import errno
import re
import shutil
from collections import namedtuple

import pytest

from ditto.run import main

TOY = ["model=toy", "sampler.steps=2", "task.steps=1", "progress=false"]
MISTAKES = {
    "unknown task": (["task=karaoke"], "there is no task=karaoke: choose one of .*intensity"),
    "unknown option": (["tsak=1"], "tsak.*--help"),
    "overlap longer than the clip": (["task=outpainting", "task.control.overlap_s=9"], "overlap_s=9 does not fit"),
    "empty prompt": (["prompt= "], "prompt is empty"),
    "empty prompt in a list": (["prompt=[a, ' ']"], "prompt 1 of prompt is empty"),
    "two sources": (["prompt=a", "prompts_file=b.txt"], "prompt and prompts_file are given"),
    "no such prompts file": (["prompts_file=none.txt"], "none.txt cannot be read"),
    "unknown split": (["prompts_split=exam"], "choose train, val or test"),
    "too many pieces": (["prompts_split=test", "prompts_n=1000000"], "the test split has"),
    "unreadable audio": (["task=inversion", "task.control.reference=noise.wav"], "cannot read 'noise.wav'"),
    "no such audio": (["task=inversion", "task.control.reference=none.wav"], "none.wav"),
    "target of the wrong length": (["task.control.curve=short.csv"], "short.csv"),
    "missing weights": (["model=embedded", "model.weights=nowhere"], "no weights for model=embedded"),
    "no such GPU": (["device=cuda:99"], "device=auto"),
    "unknown device": (["device=abacus"], "use auto, cpu"),
    "unknown precision": (["precision=fp8"], "unknown precision 'fp8': choose auto"),
    "wrong option of a class": (["+sampler.colour=red"], "sampler cannot be made from its options.*colour"),
    "no clip at once": (["batch_size=0"], "batch_size=0: give 1 or more"),
    "no frames": (["frames=-8"], "frames=-8: give 1 or more"),
    "a word for a seed": (["seed=abc"], 'seed="abc": give a whole number'),
    "a word for an option": (["sampler.guidance_scale=high"], 'sampler.guidance_scale="high": give a number'),
    "a word for a nested option": (["method.optimizer.lr=high"], 'method.optimizer.lr="high": give a number'),
    "words for levels": (["task.control.curve=[low,high]"], "task.control.curve=.*give a word or a list"),
    "negative steps": (["task.steps=-1"], "steps .* must not be negative"),
    "an optimiser's refusal": (["method.optimizer.lr=-1"], "method cannot be made.*Invalid learning rate"),
    "quantile beyond 1": (["sampler.dynamic_threshold=5"], "dynamic_threshold=5: give a quantile"),
    "half an interval": (["sampler.guidance_interval=[0]"], "guidance_interval=.*two fractions"),
    "noise of negative size": (["sampler.eta=-1"], "eta=-1: give 0"),
    "unknown class": (["method.optimizer._target_=torch.optim.Foo"], "method cannot be made.*Foo"),
    "no class": (["task.control=null"], "task.control has no _target_"),
    "directory that cannot be made": (["runs_dir=/dev/null/runs"], "cannot write /dev/null/runs.*runs_dir=DIR"),
    "runs_dir below a file": (["runs_dir=noise.wav/runs"], "not a directory.*runs_dir=DIR"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_line_and_nothing_left(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.wav").write_bytes(b"this is no sound")
    (tmp_path / "short.csv").write_text("time_s,dB\n")
    before = sorted(tmp_path.iterdir())
    arguments, message = MISTAKES[mistake]
    assert main([*TOY, *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert len(lines) == 1
    assert re.search(message, errors[0])
    assert sorted(tmp_path.iterdir()) == before


def test_no_space_for_the_run_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 1000))
    assert main(TOY) == 2
    assert "no space for the run directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_disk_full_in_the_middle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write = type(tmp_path).write_bytes

    def full(path, data):
        if "flac" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    assert main(TOY) == 2
    assert "no space left on device" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.flac*"))
    assert not list(tmp_path.rglob("metrics.json"))
