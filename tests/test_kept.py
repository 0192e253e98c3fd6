"""A batch that is stopped goes on at its step, and nobody can tell from the result. Toy model."""

import json
import math
import os
import shutil
import signal
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from baselines.doodl import Doodl
from baselines.edict import Edict
from baselines.from_inversion import FromInversion
from ditto.kept import StateFile
from ditto.loggers import NoLogger
from ditto.memory import Auto, Checkpoint, Store
from ditto.method import Request
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.run import main
from ditto.sampling import DDIM, DDPM
from ditto.types import UserError
from tests.control_cases import FRAMES, bound, toy

K, STOP, SEEDS, PROMPTS = 6, 3, [0, 1], ["a calm song", "a fast polka"]
ADAM = partial(torch.optim.Adam, lr=0.05)
FLOW = DDIM(3, 2.0)
METHODS = {
    "ditto": (Ditto(ADAM, K, Checkpoint()), FLOW),
    "ditto_store": (Ditto(ADAM, K, Store(), grad_clip=0.5, noise_regulariser=0.01), FLOW),
    "ditto_auto": (Ditto(partial(torch.optim.SGD, lr=1.0, momentum=0.9), K, Auto(1e-5), keep_best=True), FLOW),
    "ditto_stochastic": (Ditto(partial(torch.optim.AdamW, lr=0.05), K), DDPM(3, 2.0)),
    "ditto_lbfgs": (Ditto(partial(torch.optim.LBFGS, max_iter=3, line_search_fn="strong_wolfe"), K), FLOW),
    "doodl": (Doodl(ADAM, K, memory=Checkpoint()), FLOW),
    "doodl_inverse": (Doodl(ADAM, K, Edict(), inverse=True, tied=False), FLOW),
    "doodl_original": (Doodl(partial(torch.optim.SGD, lr=1.0, momentum=0.9), K, memory=Store(), loss_scale=5.0), FLOW),
}


class Stopped(Exception):
    """What ends a run in the middle."""


def asked(kept=None, observe=lambda row: None, sampler=FLOW, seeds=SEEDS, task="intensity", control=None):
    model = toy()
    x_T = noise(seeds, (*model.shape[:2], FRAMES))
    return Request(model, sampler, control or bound(task), PROMPTS, x_T, seeds, False, observe, kept)


def stop_at(step):
    def observe(row):
        if row["step"] == step:
            raise Stopped

    return observe


def interrupted(method, kept, step=STOP, **request):
    with pytest.raises(Stopped):
        method(asked(kept, stop_at(step), **request))


def resumed(method, kept, **request):
    """The generation, and the steps that were made for it."""
    steps = []
    made = method(asked(kept, lambda row: steps.append(row["step"]), **request))
    return made, steps


def assert_same(made, whole):
    for name in ("x_T", "x_0", "wave_BN"):
        assert torch.equal(getattr(made, name), getattr(whole, name)), name
    assert made.history.stopped == whole.history.stopped
    assert made.history.model_calls == whole.history.model_calls
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in one.history.rows] for one in (made, whole)]
    assert rows[0] == rows[1]


@pytest.fixture
def kept(tmp_path):
    return StateFile(tmp_path / "state" / "batch.state")


@pytest.mark.parametrize("name", METHODS)
def test_a_stopped_batch_goes_on_to_the_same_result(name, kept):
    method, sampler = METHODS[name]
    whole = method(asked(sampler=sampler))
    interrupted(method, kept, sampler=sampler)
    made, steps = resumed(method, kept, sampler=sampler)
    assert steps == list(range(STOP + 1, K))
    assert_same(made, whole)
    assert made.history.seconds_before > 0


@pytest.mark.parametrize("kind", [Ditto, Doodl])
def test_clips_that_had_stopped_stay_where_they_were(kind, kept):
    plain = kind(ADAM, K)(asked()).history
    slow = max(range(2), key=lambda clip: plain.rows[1]["loss"][clip])
    threshold = plain.rows[1]["loss"][1 - slow]  # one clip is there at step 1, long before the other
    assert plain.steps_to(threshold, slow) > STOP
    method = kind(ADAM, K, threshold=threshold)
    interrupted(method, kept)
    made, _ = resumed(method, kept)
    assert_same(made, method(asked()))
    assert "threshold at step 1" in made.history.stopped


def test_a_clip_that_was_broken_once_stays_stopped(kept):
    def faulty():
        """The loss of the second clip is NaN the second time it is asked for, and never again."""
        control, seen = bound("intensity").select([0, 1]), []
        judge = control.judge

        def judged(x_0):
            loss_B, metric_B = judge(x_0)
            seen.append(x_0)
            return loss_B * torch.tensor([1.0, math.nan if len(seen) == 2 else 1.0]), metric_B

        vars(control)["judge"] = judged
        return control

    control, method = faulty(), Ditto(ADAM, K)
    interrupted(method, kept, control=control)
    made, _ = resumed(method, kept, control=control)
    assert made.history.stopped == [None, "non-finite loss at step 1"]
    whole = method(asked(control=faulty()))
    assert torch.equal(made.x_T, whole.x_T)


def test_a_stop_in_the_middle_of_a_step_loses_that_step_only(kept):
    control, method = bound("intensity").select([0, 1]), Ditto(ADAM, K)

    def interrupt(x_0):
        raise KeyboardInterrupt

    def observe(row):
        if row["step"] == STOP:
            vars(control)["judge"] = interrupt

    with pytest.raises(KeyboardInterrupt):
        method(asked(kept, observe, control=control))
    del vars(control)["judge"]
    made, steps = resumed(method, kept, control=control)
    assert steps == list(range(STOP + 1, K))
    assert_same(made, method(asked()))


def test_what_is_killed_outright_goes_on_from_the_last_write(kept, tmp_path):
    kept.every_s = 0.0
    copy, method = StateFile(tmp_path / "copy"), Ditto(ADAM, K)

    def copy_at(row):
        if row["step"] == 2:
            shutil.copyfile(kept.path, copy.path)

    whole = method(asked(kept, copy_at))
    made, steps = resumed(method, copy)
    assert steps == [3, 4, 5]
    assert_same(made, whole)
    assert_same(*[resumed(method, kept)[0], whole])  # all steps made: only the clips are to be sampled
    assert resumed(method, kept)[1] == []


def test_a_quick_batch_writes_nothing(kept):
    Ditto(ADAM, K)(asked(kept))
    assert not kept.path.parent.exists()


def test_stopped_twice(kept):
    method = Ditto(ADAM, K)
    interrupted(method, kept, 1)
    interrupted(method, kept, 4)
    made, steps = resumed(method, kept)
    assert steps == [5]
    assert_same(made, method(asked()))


def test_the_inversion_before_ditto_is_counted_once(kept):
    method = FromInversion(Ditto(ADAM, K))
    interrupted(method, kept, task="inversion")
    made, _ = resumed(method, kept, task="inversion")
    assert_same(made, method(asked(task="inversion")))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        lambda data: b"not a state at all" * 10,
    ],
)
def test_a_damaged_state_is_told_of_and_not_used(damage, kept, capsys):
    method = Ditto(ADAM, K)
    interrupted(method, kept)
    kept.path.write_bytes(damage(kept.path.read_bytes()))
    made, steps = resumed(method, kept)
    assert steps == list(range(K))
    assert capsys.readouterr().err.count("warning: the kept state of a batch is not used") == 1
    assert_same(made, method(asked()))


OTHERS = {
    "steps": (Ditto(ADAM, K + 1), {}),
    "optimizer": (Ditto(partial(torch.optim.Adam, lr=0.06), K), {}),
    "method": (Doodl(ADAM, K), {}),
    "sampler": (Ditto(ADAM, K), {"sampler": DDIM(4, 2.0)}),
    "seeds": (Ditto(ADAM, K), {"seeds": [0, 7]}),
    "task": (Ditto(ADAM, K), {"task": "intensity_correlation"}),
    "clips": (Ditto(ADAM, K), {"control": "swapped"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_state_of_another_batch_is_not_used(name, kept, capsys):
    method, request = OTHERS[name]
    interrupted(Ditto(ADAM, K), kept)
    if "control" in request:
        request = {"control": bound("intensity").select([1, 0])}
    made, steps = resumed(method, kept, **request)
    assert steps[0] == 0
    assert "of other clips or options" in capsys.readouterr().err
    assert_same(made, method(asked(**request)))


def test_a_full_disk_is_a_warning(kept, capsys):
    class Full(StateFile):
        def write(self, data):
            raise UserError("no space left on device")

    method = Ditto(ADAM, K)
    made, _ = resumed(method, Full(kept.path, 0.0))
    assert_same(made, method(asked()))
    assert "the state of a batch is not kept: no space left on device" in capsys.readouterr().err


def test_every_row_is_told_with_plain_numbers():
    rows = []
    made = Ditto(ADAM, 2)(asked(observe=rows.append, task="melody"))
    assert rows == made.history.rows
    assert json.loads(json.dumps(rows)) == rows
    assert set(rows[0]) == {"step", "loss", "metric", "gradient_norm", "seconds"}
    assert all(0 <= value <= 100 for row in rows for value in row["metric"])


class Terminator(NoLogger):
    """Sends this process the signal of a scheduler at step STOP."""

    def step(self, row):
        if row["step"] == STOP:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_ended_by_sigterm_goes_on_by_the_same_command(tmp_path, monkeypatch):
    """Two batches of two rounds each: a state is of one batch and one round."""
    monkeypatch.chdir(tmp_path)
    toy_run = ["model=toy", "sampler.steps=3", f"task.steps={K}", "task=outpainting", "task.control.repeats=2"]
    toy_run += ["task.control.overlap_s=0.1", "prompt=[a, b, c]", "batch_size=2", "progress=false", "pictures=false"]
    assert main([*toy_run, "runs_dir=whole"]) == 0
    before = signal.getsignal(signal.SIGTERM)
    try:
        codes = [main([*toy_run, "logger=none", f"logger._target_={__name__}.Terminator"]) for _ in range(4)]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert codes == [130] * 4, "twice in each batch, once a round"
    (path,) = (tmp_path / "runs").glob("[0-9a-f]*")
    assert len(list((path / "state").iterdir())) == 2
    assert main(toy_run) == 0
    assert not (path / "state").exists()
    whole = tmp_path / "whole" / path.name
    ours, theirs = load_file(path / "x_T.safetensors"), load_file(whole / "x_T.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for file in ("metrics.json", "history.json"):
        ours, theirs = (json.loads((run / file).read_text()) for run in (path, whole))
        assert ours.keys() == theirs.keys()
        for clip in theirs:
            assert {**ours[clip], **timing(theirs[clip])} == theirs[clip], file
    assert all(len(history["metric"]) == len(history["loss"]) == 2 * K for history in theirs.values())


def timing(values):
    return {name: values[name] for name in ("seconds", "peak_memory_gib") if name in values}
