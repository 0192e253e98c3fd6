"""Music ControlNet: an exact no-op before training, masks, batches, gradients, training, weights, refusals."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.controlnet import Controlled, ControlNet
from baselines.controlnet_branch import ControlBranch, Controls, FrameControl
from baselines.controlnet_controls import intensity, mask_at_random, of_music, of_task
from baselines.controlnet_training import ControlNetTraining
from baselines.controlnet_weights import BRANCH, CONFIG, PACKAGED, export, load_branch, save_branch
from baselines.text_only import TextOnly
from ditto.audio.vocoder import Vocoder
from ditto.controls.base import Control
from ditto.controls.combined import Combined
from ditto.controls.intensity import Intensity
from ditto.controls.melody import Melody
from ditto.controls.structure import Structure
from ditto.environment import device_name
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.models.embedded import Embedded, load, save
from ditto.models.text import shared_text_encoder
from ditto.models.unet import SpectrogramUNet
from ditto.noise import noise
from ditto.prompts import clip_requests
from ditto.sampling import DDIM
from ditto.types import ClipRequest, UndefinedTask, UserError
from tests.control_cases import bound, toy, tune
from tests.finite_differences import directional_check
from tests.music_cases import write_music
from tests.test_training import train

NETWORK: dict[str, Any] = {
    "patch": [16, 16],
    "channels": [16, 32],
    "attention": [False, True],
    "cross_width": 32,
    "norm_groups": 8,
}
VOCODER: dict[str, Any] = {"width": 16, "blocks": 1}
FRAMES, SAMPLER = 64, DDIM(steps=3, guidance_scale=2.0)
PROMPTS = ["a calm song", "loud metal with drums", "piano"]


def small(dtype: torch.dtype = torch.float32) -> Embedded:
    torch.manual_seed(0)
    statistics = torch.linspace(-6, -4, 160), torch.tensor(2.0)
    parts = SpectrogramUNet(**NETWORK), Vocoder(**VOCODER), shared_text_encoder()
    return Embedded(*parts, *statistics, dtype, skip_scale=0.25)


def branch_of(model: Embedded, trained: bool = True) -> ControlBranch:
    """A branch; `trained` gives its zero convolutions random weights."""
    branch = ControlBranch(model.network)
    torch.manual_seed(1)
    for layer in (branch.control_in, *branch.down_out, branch.mid_out) if trained else ():
        torch.nn.init.normal_(layer.weight, std=0.1)
    return branch.requires_grad_(False)


def some_controls(clips: int = 3) -> Controls:
    draw = torch.Generator().manual_seed(2)
    level_BT = torch.randn(clips, FRAMES, generator=draw) * 6 - 28
    chroma_BPT = torch.rand(clips, 12, FRAMES, generator=draw)
    return of_music(level_BT, chroma_BPT, smoothing_frames=9)


def eps(model: Embedded, branch: ControlBranch, controls: Controls, clips: slice = slice(None)) -> Tensor:
    x_t, t = noise([4, 5, 6], (1, 160, FRAMES))[clips], torch.tensor([40, 500, 900])[clips]
    with torch.no_grad():
        return Controlled(model, branch, controls).denoise(x_t, t, model.encode(PROMPTS)[clips])


def write_weights(model: Embedded, branch: ControlBranch, folder: Path) -> str:
    save_branch(branch.state_dict(), {"base": {"name": model.name, "weights_hash": model.weights_hash}}, folder)
    return str(folder)


def clips_of(control: Control, model: Embedded, count: int = 2) -> Control:
    requests = [ClipRequest(f"c{i}", PROMPTS[i], seed=i, index=i) for i in range(count)]
    return control.bind(model, requests, FRAMES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_training_it_is_text_only_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    model = small(dtype)
    weights = write_weights(model, branch_of(model, trained=False), tmp_path)
    control, x_T = clips_of(Intensity(smoothing_s=0.2), model), noise([0, 1], (1, 160, FRAMES))
    made = [
        method(Request(model, SAMPLER, control, PROMPTS[:2], x_T, [0, 1]))
        for method in (TextOnly(), ControlNet(weights))
    ]
    assert torch.equal(made[0].x_0, made[1].x_0)
    assert torch.equal(made[0].wave_BN, made[1].wave_BN)
    assert made[1].history.model_calls == SAMPLER.steps


def test_a_control_that_is_open_in_all_frames_is_no_control() -> None:
    model, controls = small(), some_controls()
    branch = branch_of(model)
    nothing = {name: FrameControl(c.value_BDT, torch.zeros_like(c.given_BT)) for name, c in controls.items()}
    assert torch.equal(eps(model, branch, nothing), eps(model, branch, {}))
    alone = {"melody": controls["melody"], "intensity": nothing["intensity"]}
    assert torch.equal(eps(model, branch, alone), eps(model, branch, {"melody": controls["melody"]}))
    assert not torch.allclose(eps(model, branch, alone), eps(model, branch, {}))


def test_values_in_open_frames_say_nothing_and_planes_are_local() -> None:
    model, (name, control) = small(), next(iter(some_controls().items()))
    branch = branch_of(model)
    given_BT = control.given_BT.clone()
    given_BT[:, 16:48] = 0
    partial = {name: FrameControl(control.value_BDT, given_BT)}
    other = {name: FrameControl(torch.where(given_BT[:, None] > 0, control.value_BDT, 77.0), given_BT)}
    assert torch.equal(eps(model, branch, partial), eps(model, branch, other))
    assert not torch.allclose(eps(model, branch, partial), eps(model, branch, {name: control}))
    patches = model.network.patches(noise([4, 5, 6], (1, 160, FRAMES)))
    whole, part = branch.planes({name: control}, patches), branch.planes(partial, patches)
    assert torch.equal(whole[..., [0, 3]], part[..., [0, 3]])  # patches of 16 frames
    assert (part[..., 1:3] == 0).all()
    assert (whole[..., 1:3] != 0).any()


def test_a_clip_does_not_depend_on_its_batch_mates_and_both_halves_of_cfg_get_its_controls() -> None:
    model, controls = small(), some_controls()
    branch = branch_of(model)
    together = eps(model, branch, controls)
    for i in range(3):
        own = {name: FrameControl(c.value_BDT[i : i + 1], c.given_BT[i : i + 1]) for name, c in controls.items()}
        torch.testing.assert_close(together[i : i + 1], eps(model, branch, own, slice(i, i + 1)), atol=1e-4, rtol=1e-4)
    x_t, t = noise([4, 5, 6], (1, 160, FRAMES)), torch.tensor([40, 500, 900])
    both = model.encode(PROMPTS).cat(model.encode([""]).expand(3))
    with torch.no_grad():
        doubled = Controlled(model, branch, controls).denoise(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        null = Controlled(model, branch, controls).denoise(x_t, t, model.encode([""]).expand(3))
    torch.testing.assert_close(doubled, torch.cat([together, null]), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="do not fit"):
        eps(model, branch, controls, slice(0, 2))


def test_gradients_through_a_controlled_chain() -> None:
    model = small(torch.float64)
    branch, frames = branch_of(model).double(), 32
    draw = torch.Generator().manual_seed(3)
    controls = of_music(torch.randn(1, frames, generator=draw) * 6 - 28, torch.rand(1, 12, frames, generator=draw), 9)
    controlled, condition = Controlled(model, branch, controls), model.encode(["a calm song"])
    x_T = noise([0], (1, 160, frames), dtype=torch.float64)
    directional_check(lambda x: SAMPLER(controlled, x, condition).square(), x_T, rtol=1e-4)


def test_targets_of_tasks_become_frame_controls() -> None:
    model = small()
    given = of_task(clips_of(Combined({"a": Melody(tune()), "b": Intensity(from_s=0.25, smoothing_s=0.2)}, {}), model))
    assert set(given) == {"melody", "intensity"}
    first = model.clip.frames_of(0.25)
    assert (given["intensity"].given_BT[:, :first] == 0).all()
    assert (given["intensity"].given_BT[:, first:] == 1).all()
    rests_BT = given["melody"].given_BT == 0  # the tune rests from 0.3 to 0.4 s
    assert rests_BT[:, 27:34].all()
    assert not rests_BT[:, :25].any()
    loud, quiet = (intensity(torch.full((1, 4), db), torch.ones(1, 4)).value_BDT for db in (-15.0, -45.0))
    assert (loud == 1).all()
    assert (quiet == -1).all()


def test_the_music_itself_is_read_as_a_task_would_ask_for_it() -> None:
    level_BT = torch.full((1, FRAMES), -20.0)
    level_BT[:, :10] = -70.0
    chroma_BPT = torch.full((1, 12, FRAMES), 0.05)
    chroma_BPT[:, 4] = 0.45
    controls = of_music(level_BT, chroma_BPT, smoothing_frames=3)
    assert (controls["melody"].value_BDT.argmax(1) == 4).all()
    assert (controls["melody"].given_BT == (torch.arange(FRAMES) >= 10)).all()
    torch.testing.assert_close(controls["intensity"].value_BDT[0, 0, 20:], torch.full((44,), 10 / 15))


def test_random_masks_open_whole_controls_or_spans_clip_by_clip() -> None:
    torch.manual_seed(0)
    control = FrameControl(torch.zeros(400, 1, FRAMES), torch.ones(400, FRAMES))

    def masked(drop: float, partial: float) -> dict[str, Tensor]:
        drawn = mask_at_random({"intensity": control, "melody": control}, drop, partial)
        return {name: c.given_BT for name, c in drawn.items()}

    assert (masked(0.0, 0.0)["melody"] == 1).all()
    assert (masked(1.0, 0.5)["melody"] == 0).all()
    dropped = {name: given_BT.sum(1) == 0 for name, given_BT in masked(0.25, 0.0).items()}
    assert dropped["melody"].float().mean() == pytest.approx(0.25, abs=0.07)
    assert (dropped["melody"] & dropped["intensity"]).float().mean() == pytest.approx(1 / 16, abs=0.05)
    spans_BT = masked(0.0, 1.0)["melody"]
    assert (spans_BT.diff(dim=1).abs().sum(1) <= 2).all()  # one span, open or given
    assert 0.4 < spans_BT.mean() < 0.6
    assert len(spans_BT.unique(dim=0)) > 100


def batch_of(module: ControlNetTraining) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(5)
    text = module.base.encode(PROMPTS[:2]).tensors
    level_BT = torch.linspace(-60, -10, FRAMES).repeat(2, 1)
    level_BT[1] = level_BT[1].flip(0)
    mel_BFT = (level_BT / 8.7 - 1)[:, None] + 0.3 * torch.randn(2, 160, FRAMES, generator=draw)
    chroma_BPT = torch.rand(2, 12, FRAMES, generator=draw)
    return {"mel_BFT": mel_BFT, "rms_db_BT": level_BT, "chroma_BPT": chroma_BPT, **text}


def test_a_few_steps_lower_the_loss_and_leave_the_base_as_it_is(tmp_path: Path) -> None:
    model = small()
    state = model.network.state_dict() | {"mean_F": model.mean_F, "sigma": model.sigma}
    save(tmp_path, {"network": NETWORK, "vocoder": VOCODER, "skip_scale": 0.25}, state, model.vocoder)
    module = ControlNetTraining(base=str(tmp_path), lr=1e-2, drop=0.0, partial=0.0)
    before = copy.deepcopy(module.base.network.state_dict())
    batch = batch_of(module)
    batch |= {"controls": module.controls(batch)}
    optimizer, losses = module.configure_optimizers(), []
    noise_BCFT, t_B = noise([0, 1], (1, 160, FRAMES)), torch.tensor([700, 900])
    for _ in range(30):
        optimizer.zero_grad()
        loss = module.loss(batch, t_B, noise_BCFT).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    open_loss = module.loss(batch | {"controls": {}}, t_B, noise_BCFT).mean().item()
    assert losses[-1] < 0.9 * losses[0]
    assert losses[-1] < open_loss  # what was learnt is in the controls, too
    assert all(torch.equal(value, before[name]) for name, value in module.base.network.state_dict().items())
    assert all(parameter.grad is None for parameter in module.base.parameters())
    assert not any(name.startswith("base") or "_base" in name for name in module.state_dict())


def test_train_by_the_command_export_and_sample(tmp_path: Path) -> None:
    model, data, run = small(), tmp_path / "data", tmp_path / "run"
    write_music(data, (6.0, 6.0, 6.0))
    state = model.network.state_dict() | {"mean_F": model.mean_F, "sigma": model.sigma}
    save(tmp_path / "base", {"network": NETWORK, "vocoder": VOCODER, "skip_scale": 0.25}, state, model.vocoder)
    short = ("max_steps=2", "stage.samples.prompts=[piano]", "+stage.samples.steps=2", "+stage.data.val_batches=1")
    train(run, data, "stage=controlnet", f"stage.module.base={tmp_path / 'base'}", *short)
    assert {p.stem for p in (run / "samples").glob("*.png")} == {"0000002"}
    export(run, tmp_path / "branch")
    described = json.loads((tmp_path / "branch" / CONFIG).read_text())
    base = load(str(tmp_path / "base"), precision="float32")
    assert 0 < described.pop("hours") < 1
    assert described.pop("device") == device_name(torch.device("cpu"))
    assert described == {"base": {"name": "embedded", "weights_hash": base.weights_hash}, "steps": 2, "clips_seen": 4}
    control = clips_of(Intensity(smoothing_s=0.2), base)
    method = ControlNet(str(tmp_path / "branch"))
    made = method(Request(base, SAMPLER, control, PROMPTS[:2], noise([0, 1], (1, 160, FRAMES)), [0, 1]))
    assert made.wave_BN.shape == (2, FRAMES * 256)


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    model = small()
    branch = branch_of(model)
    _, loaded = load_branch(model, write_weights(model, branch, tmp_path))
    for name, value in branch.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_refusals_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    model, x_T = small(), noise([0, 1], (1, 160, FRAMES))
    weights = write_weights(model, branch_of(model), tmp_path / "weights")

    def refused(method: ControlNet, model: MusicModel, control: Control) -> str:
        with pytest.raises(UserError) as error:
            method(Request(model, SAMPLER, control, PROMPTS[:2], x_T, [0, 1]))
        assert "\n" not in str(error.value)
        return str(error.value)

    for task in ("structure", "outpainting", "inversion", "combined"):
        with pytest.raises(UndefinedTask, match="choose task=intensity"):
            of_task(bound(task))
    with_structure = Combined({"s": Structure(smoothing_s=0.1), "i": Intensity(smoothing_s=0.2)}, {})
    assert "structure" in refused(ControlNet(weights), model, clips_of(with_structure, model))
    twice = Combined({"a": Intensity(smoothing_s=0.2), "b": Intensity(smoothing_s=0.2)}, {})
    assert "two of a kind" in refused(ControlNet(weights), model, clips_of(twice, model))
    other = small()
    other.weights_hash = "another"
    for stranger in (other, toy()):
        line = refused(ControlNet(weights), stranger, bound("intensity"))
        assert "model=embedded" in line
        assert "ditto.training.train stage=controlnet" in line
    assert "ditto.training.train" in refused(ControlNet(str(tmp_path)), model, bound("intensity"))


@pytest.mark.skipif(not (PACKAGED / BRANCH).exists(), reason="weights are not trained yet")
def test_the_packaged_weights_follow_both_controls_better_than_the_prompt_alone() -> None:
    model, sampler = load(), DDIM(steps=6, guidance_scale=3.0, spacing="trailing", guidance_interval=(0.0, 0.6))
    assert sum(file.stat().st_size for file in PACKAGED.iterdir()) <= 25 * 2**20
    clips = clip_requests({"prompts_split": "val", "prompts_n": 3, "prompts_offset": 0, "seed": 0})
    control = Combined({"melody": Melody(), "intensity": Intensity()}, {}).bind(model, clips)
    x_T, prompts = noise([0, 1, 2], model.shape), [clip.prompt for clip in clips]
    text, own = (
        control.metrics(made.x_0, made.wave_BN)
        for made in (
            method(Request(model, sampler, control, prompts, x_T, [0, 1, 2])) for method in (TextOnly(), ControlNet())
        )
    )
    assert own["intensity_mse"].mean() < 0.85 * text["intensity_mse"].mean()
    assert own["melody_accuracy"].mean() > text["melody_accuracy"].mean() + 25
