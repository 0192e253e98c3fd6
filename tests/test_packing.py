"""Batches: as many clips as fit, the same after an interrupt, and halved where memory runs out."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ditto import need, packing, room, runs
from ditto.controls.intensity import Intensity
from ditto.memory import GIB, Auto, Checkpoint, Store
from ditto.models.toy import Toy
from ditto.need import Asked, Need
from ditto.optimization import Ditto
from ditto.out_of_memory import is_out_of_memory
from ditto.run_directory import RunDirectory
from ditto.sampling import DDIM
from ditto.types import ClipRequest

CLIPS = [ClipRequest(f"{i:03d}", "a calm song", i, i) for i in range(9)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing is known from earlier jobs of the process."""
    for name in ("_needs", "_bounds", "_most"):
        monkeypatch.setattr(packing, name, {})


def asked(method=None, steps=3, **model):
    return Asked(Toy(**model), DDIM(steps=steps), method or Ditto(steps=2, memory=Store()), Intensity(), 32)


def metrics(path):
    """Of every clip, without what depends on how it was made."""
    without = ("seconds", "batch_size", "peak_memory_gib")
    read = json.loads((path / "metrics.json").read_text())
    return {clip: {key: value for key, value in values.items() if key not in without} for clip, values in read.items()}


def assert_close(some, others):
    """The same but for the rounding of other batches, which Adam's first steps magnify at small gradients."""
    assert some.keys() == others.keys()
    for clip, values in some.items():
        assert [_close(value) for value in others[clip].values()] == list(values.values())


def _close(value):
    return pytest.approx(value, rel=0.02, abs=1e-3) if isinstance(value, float) else value


def sizes(path):
    return [values["batch_size"] for values in json.loads((path / "metrics.json").read_text()).values()]


@pytest.mark.parametrize(
    ("clips", "most", "expected"), [(9, 8, [5, 4]), (8, 4, [4, 4]), (9, 9, [9]), (7, 3, [3, 2, 2])]
)
def test_batches_are_balanced_and_in_order(clips, most, expected):
    batches = packing.balanced(CLIPS[:clips], most)
    assert [len(batch) for batch in batches] == expected
    assert [clip for batch in batches for clip in batch] == CLIPS[:clips]


def test_as_many_as_fit_but_one_at_least():
    assert Need(2.0).fitting(room=9.0, clips=8) == 4
    assert Need(2.0).fitting(room=100.0, clips=8) == 8
    assert Need(2.0).fitting(room=1.0, clips=8) == 1
    assert Need(float("inf")).fitting(room=1e12, clips=8) == 1


def test_a_budget_for_the_whole_batch_does_not_grow_with_it():
    policy = Auto(budget_gib=1.0)
    policy.step_bytes, policy.chain_bytes = GIB // 10, 20 * GIB // 10
    need_of = Need(0.06 * GIB, policy)
    assert need_of.of(1) / GIB == pytest.approx(0.06 + 1.0, abs=0.01)
    assert need_of.of(8) / GIB == pytest.approx(8 * 0.06 + 1.0, abs=0.01)
    assert need_of.of(16) / GIB == pytest.approx(16 * 0.06 + 16 * 0.1, abs=0.01), "the step that runs again"
    assert need_of.fitting(1.9 * GIB, 16) == 11, "not the single clip that 1.06 GiB each would leave"


def test_the_policys_own_account_is_what_autograd_keeps():
    latent = 4 * math.prod(asked().model.shape)
    for policy, steps, latents in ((Auto(budget_gib=1.0), 3, 0), (Auto(budget_gib=1e-9), 1, 3)):
        method = Ditto(steps=70, memory=policy)
        one = asked(method)
        found = need.probe(one, CLIPS[0], 8)
        step = found.policy.step_bytes
        assert step > 10_000
        assert found.policy.kept_bytes(1) == pytest.approx(steps * step + latents * latent, rel=0.02)
        assert found.policy is not policy, "a later batch must not change what was measured"


def test_a_probe_asks_for_one_step_of_one_clip_at_most_three_percent_of_the_run():
    seen = []

    class Watched(Toy):
        def denoise(self, x_t, t, condition):
            seen.append(len(x_t))
            return super().denoise(x_t, t, condition)

    one = Asked(Watched(), DDIM(steps=20), Ditto(steps=70, memory=Checkpoint()), Intensity(), 32)
    before = torch.get_rng_state()
    assert need.probe(one, CLIPS[0], 8).each > 0
    assert seen == [1] * 60, "a chain, the same again for its gradient, and the final one"
    assert torch.get_rng_state().equal(before)
    seen.clear()
    found = need.probe(Asked(one.model, one.sampler, Ditto(steps=1, memory=Store()), one.control, 32), CLIPS[0], 8)
    assert len(seen) == 2 * 5, "0.03 of 8 clips and 20 steps"
    assert found.longer == 1.0
    assert need.shortened(Ditto(steps=70))[0].steps == 1


def test_methods_inside_methods_are_shortened_too():
    from baselines.from_inversion import FromInversion

    inner = Ditto(steps=70, memory=Auto(1.0))
    outer, steps = need.shortened(FromInversion(inner))
    assert steps == 70
    assert outer.method.steps == 1
    assert list(need._policies(outer)) == [inner.memory]
    assert need.shortened(lambda request: None)[1] == 0


def test_an_estimate_that_fails_stops_nothing():
    def broken(*_):
        raise ValueError("a chain of 2 steps makes no sense")

    def full(*_):
        raise MemoryError

    assert need.safely(broken) is None
    assert need.safely(full).fitting(1e12, 8) == 1


def test_small_models_are_not_probed(go, monkeypatch, capsys):
    monkeypatch.setattr(packing, "probe", lambda *_: pytest.fail("asked for nothing"))
    assert go("prompt=[a, b, c]")[0] == 0
    assert "3 clips in 1 batch: at most" in capsys.readouterr().out


def test_what_fits_is_found_and_kept_for_the_jobs_of_a_sweep(go, monkeypatch, capsys):
    probes = []

    def probe(one, clip, clips):
        probes.append(clips)
        return Need(0.3 * GIB)

    monkeypatch.setattr(packing, "probe", probe)
    monkeypatch.setattr(packing, "bound", lambda *_: Need(100 * GIB))
    code, paths = go("-m", "prompts_split=val", "prompts_n=9", "memory_gib=2.5", "seed=1,2", "method=ditto,text_only")
    assert code == 0
    assert [sizes(path) for path in paths] == [[5] * 5 + [4] * 4] * 4
    assert probes == [9, 9], "one per method"
    assert "9 clips in 2 batches of 4 or 5: 0.3 GiB a clip, 2.5 GiB given" in capsys.readouterr().out
    given = ["-m", "prompts_split=val", "prompts_n=9", "seed=1,2", "method=ditto"]
    assert go(*given, "runs_dir=same", "batch_size=5")[0] == 0
    assert go(*given, "runs_dir=whole", "batch_size=9")[0] == 0
    for path in runs.run_paths("same"):
        assert metrics(path) == metrics(Path("runs") / path.name)
        assert_close(metrics(path), metrics(Path("whole") / path.name))


def test_out_of_memory_halves_and_goes_on(go, monkeypatch, capsys):
    tried = []
    denoise = Toy.denoise

    def small(model, x_t, t, condition):
        tried.append(len(x_t))
        if len(x_t) > 4:  # prompt and null condition of two clips
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return denoise(model, x_t, t, condition)

    many = ["-m", "prompts_split=val", "prompts_n=9", "seed=1,2"]
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "denoise", small)
        code, paths = go(*many, "batch_size=8")
    assert code == 0
    assert [sizes(path) for path in paths] == [[2] * 8 + [1]] * 2
    err = capsys.readouterr().err
    assert err.count("out of memory") == 2, "8 and 4, in the first job only"
    assert "out of memory with 4 clips at once on cpu: on with 2" in err
    assert sum(size > 4 for size in tried) == 2
    assert not list(paths[0].glob("batches.json"))
    monkeypatch.setattr(packing, "_most", {})
    assert go(*many, "runs_dir=same", "batch_size=2")[0] == 0
    assert go(*many, "runs_dir=whole", "batch_size=8")[0] == 0
    for path in paths:
        assert metrics(path) == metrics(Path("same") / path.name)
        assert_close(metrics(path), metrics(Path("whole") / path.name))


def test_a_single_clip_that_does_not_fit_is_one_clear_line(go, monkeypatch, capsys):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("ditto.optimization.Ditto.__call__", full)
    code, paths = go("prompt=[a, b]")
    assert code == 2
    assert not paths
    assert "error: out of memory with a single clip on cpu: choose memory=checkpoint" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_with_its_own_batches(go, monkeypatch):
    monkeypatch.setattr(packing, "probe", lambda *_: Need(0.3 * GIB))
    monkeypatch.setattr(packing, "bound", lambda *_: None)
    wanted = ["prompts_split=val", "prompts_n=9", "memory_gib=1"]
    saved = []

    def interrupt(run, clip_id, *rest):
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append(clip_id)
        return save(run, clip_id, *rest)

    save = RunDirectory.save_clip
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_clip", interrupt)
        code, (path,) = go(*wanted)
    assert code == 130
    assert [len(batch) for batch in json.loads((path / "batches.json").read_text())["batches"]] == [3, 3, 3]
    monkeypatch.setattr(packing, "_needs", {})
    monkeypatch.setattr(packing, "probe", lambda *_: pytest.fail("the batches are known"))
    assert go(*wanted)[0] == 0
    assert sizes(path) == [3] * 9


def test_batches_of_other_options_or_clips_are_not_taken_up(tmp_path):
    options = {"batch_size": None, "memory_gib": 1.0}
    packing.keep([CLIPS[:5], CLIPS[5:]], options, tmp_path)
    assert packing._left(tmp_path, options, CLIPS) == [CLIPS[:5], CLIPS[5:]]
    assert packing._left(tmp_path, options, CLIPS[:8]) is None
    assert packing._left(tmp_path, options, CLIPS[::-1]) is None
    assert packing._left(tmp_path, {**options, "memory_gib": 2.0}, CLIPS) is None
    (tmp_path / packing.FILE).write_text('{"batch_size": null, "memory_gib": 1.0, "batches": 3}')
    assert packing._left(tmp_path, options, CLIPS) is None
    (tmp_path / packing.FILE).write_text("no json")
    assert packing._left(tmp_path, options, CLIPS) is None


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory of names"), False),
    ],
)
def test_errors_of_memory_are_known(error, memory):
    assert is_out_of_memory(error) is memory


def test_the_smallest_limit_of_machine_and_control_groups_counts(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    inner = tmp_path / "groups" / "job" / "step"
    inner.mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/job/step\n")
    for folder, limit, used, cache in ((inner, "max", 10, 0), (inner.parent, str(3 * 2**20), 2 * 2**20, 2**19)):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(room, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(room, "_CGROUPS", tmp_path / "groups")
    assert room.free_on_cpu() == 1.5 * 2**20
    assert room.room(torch.device("cpu")) == pytest.approx(0.85 * 1.5 * 2**20)
    assert room.room(torch.device("cpu"), memory_gib=2.0) == 2 * GIB
    monkeypatch.setattr(room, "_CGROUPS", tmp_path / "none")
    assert room.free_on_cpu() == 8000 * 1024
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "none")
    assert room.room(torch.device("cpu")) is None


def test_on_a_gpu_what_pytorch_holds_unused_is_free(monkeypatch):
    cuda = SimpleNamespace(
        mem_get_info=lambda device: (100, 1000), memory_reserved=lambda device: 70, memory_allocated=lambda device: 50
    )
    monkeypatch.setattr(room.torch, "cuda", cuda)
    assert room.room(torch.device("cuda")) == pytest.approx(0.85 * 120)
