"""The vocoder's losses and its adversarial training: gradients where they belong, resuming, what is exported."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from safetensors.torch import save_file
from torch import Tensor, nn

from ditto.audio.vocoder import Vocoder
from ditto.training.adversarial import AdversarialTraining
from ditto.training.callbacks import WarmAverage
from ditto.training.discriminators import Discriminators, deception_loss, matching_loss, recognition_loss
from ditto.training.export import averaged_state, split_state
from ditto.training.rough_mel import RoughMel
from ditto.training.train import main
from ditto.training.wave_losses import WaveLoss, phase_distance, spectrum
from tests.test_training import data_root  # noqa: F401

CONF = str(Path(__file__).parent.parent / "conf")
SAMPLES = 24 * 256


def tone(hertz: float = 440.0, clips: int = 1) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(SAMPLES) / 22050).repeat(clips, 1)


def tiny_judges() -> Discriminators:
    return Discriminators(windows=(256,), periods=(3,), spectrum_width=4, period_width=4)


def tiny_training(**options) -> AdversarialTraining:
    torch.manual_seed(0)
    vocoder = Vocoder(width=16, blocks=1)
    return AdversarialTraining(vocoder, tiny_judges(), losses=WaveLoss(1.0, 2.0, 0.2), **options)


def with_gradient(module: nn.Module) -> list[bool]:
    return [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters()]


def test_losses_are_zero_for_equal_waves_and_finite_on_silence() -> None:
    loss, wave_BN = WaveLoss(1.0, 2.0, 0.2), torch.randn(2, SAMPLES) * 0.1
    for level in (1.0, 1e-3, 0.0):
        equal = loss.terms(level * wave_BN, level * wave_BN)
        assert all(value.abs().max() < 1e-5 for value in equal.values())
    assert all((value > 0.05).all() for value in loss.terms(0.5 * wave_BN.flip(-1), wave_BN).values())
    made_BN = torch.zeros(2, SAMPLES, requires_grad=True)
    for reference_BN in (torch.zeros(2, SAMPLES), wave_BN):
        value = loss(made_BN, reference_BN)
        (gradient,) = torch.autograd.grad(value, made_BN)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_a_weight_of_zero_leaves_a_distance_out() -> None:
    x, y = torch.randn(2, 1, SAMPLES).unbind()
    terms = {name: float(value) for name, value in WaveLoss().terms(x, y).items()}
    assert math.isclose(float(WaveLoss(stft=0.0, mel=3.0)(x, y)), 3 * terms["mel"], rel_tol=1e-5)
    everything = float(WaveLoss(1.0, 2.0, 0.2)(x, y))
    assert math.isclose(everything, terms["stft"] + 2 * terms["mel"] + 0.2 * terms["phase"], rel_tol=1e-5)


def test_phase_hears_pitch_but_not_level_or_polarity() -> None:
    wave_BN = tone()
    distance = [
        float(phase_distance(spectrum(one, 1024, 256), spectrum(wave_BN, 1024, 256)))
        for one in (0.5 * wave_BN, -wave_BN, tone(443.0), tone(455.0))
    ]
    assert max(distance[:2]) < 5e-3
    assert distance[3] > 2 * distance[2] > 0.05


def test_every_discriminator_gives_features_and_scores_for_each_clip() -> None:
    judges = Discriminators(windows=(512, 256), periods=(2, 7), spectrum_width=4, period_width=2)
    judged = judges(torch.randn(3, SAMPLES))
    assert len(judged) == 4
    assert [len(one) for one in judged] == [5] * 4
    assert all(feature.shape[0] == 3 for one in judged for feature in one)
    assert all(one[-1].shape[1] == 1 for one in judged)
    assert judged[3][-1].shape[-1] == 7  # one column of scores a phase of the period
    assert all(feature.isfinite().all() for one in judges(torch.zeros(1, SAMPLES)) for feature in one)


def test_feature_matching_is_zero_for_equal_waves_only() -> None:
    judges, wave_BN = tiny_judges(), torch.randn(2, SAMPLES) * 0.1
    assert matching_loss(judges(wave_BN), judges(wave_BN)) == 0
    assert matching_loss(judges(wave_BN), judges(0.5 * wave_BN)) > 0.05


def test_each_side_learns_from_its_own_loss_only() -> None:
    training, wave_BN = tiny_training(), torch.randn(2, SAMPLES) * 0.1
    training.recognition(training.network(training.mel(wave_BN)), wave_BN).backward()
    # the last biases aside: while all scores are inside the margins, both sides push them equally far, to rounding
    judges = training.discriminators
    moved = zip(judges.parameters(), with_gradient(judges), strict=True)
    assert all(gradient for parameter, gradient in moved if parameter.numel() > 1)
    assert not any(with_gradient(training.network))
    training.zero_grad()
    training.adversarial(training.network(training.mel(wave_BN)), wave_BN).backward()
    assert all(with_gradient(training.network))
    assert not any(with_gradient(training.discriminators))
    assert all(p.requires_grad for p in training.discriminators.parameters())


def test_discriminators_learn_to_tell_tones_from_noise() -> None:
    torch.manual_seed(0)
    judges, real, made = tiny_judges(), tone(clips=2), 0.1 * torch.randn(2, SAMPLES)
    optimizer = torch.optim.Adam(judges.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = recognition_loss(judges(real), judges(made))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert deception_loss(judges(real)) < 0 < deception_loss(judges(made))


def test_the_adversarial_gradient_has_its_share_of_the_spectral_ones_norm() -> None:
    training, wave_BN = tiny_training(), torch.randn(2, SAMPLES) * 0.1
    made_BN = training.network(training.mel(wave_BN))
    first = torch.autograd.grad(training.spectral_loss(made_BN, wave_BN), made_BN)[0]
    other = torch.autograd.grad(training.adversarial(made_BN, wave_BN), made_BN)[0]
    ratio = training._norm_ratio(made_BN, first, other)
    head = training.network.head.weight
    scaled, wanted = (
        torch.autograd.grad(made_BN, head, g, retain_graph=True)[0].norm() for g in (ratio * other, first)
    )
    torch.testing.assert_close(scaled, wanted)


def test_rough_mels_touch_the_chosen_clips_only() -> None:
    torch.manual_seed(0)
    mel_BFT = torch.randn(64, 20, 16)
    changed = (RoughMel(odds=0.5)(mel_BFT) - mel_BFT).abs().amax((1, 2))
    assert 10 < int((changed > 0).sum()) < 54
    assert changed.max() < 4
    assert torch.equal(RoughMel(odds=0.0)(mel_BFT), mel_BFT)


def train(folder: Path, data_root: Path, *overrides: str) -> None:  # noqa: F811
    small = [
        "stage=vocoder_adversarial",
        "trainer.accelerator=cpu",
        "+trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=false",
        "batch_size=2",
        "stage.data.frames=24",
        "stage.warmup_steps=1",
        "stage.validate_every=6",
        "hours=1",
        "+stage.module.network.width=16",
        "+stage.module.network.blocks=1",
        "stage.module.wait=1",
        "stage.module.discriminators.windows=[256]",
        "stage.module.discriminators.periods=[3]",
        "stage.module.discriminators.spectrum_width=4",
        "stage.module.discriminators.period_width=4",
    ]
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("train", [*small, f"folder={folder}", f"data_root={data_root}", *overrides])
    main.__wrapped__(cfg)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """After each step of any training: the vocoder's last bias and the learning rates of all optimisers."""
    seen: dict[str, list] = {"bias": [], "rates": []}
    update = WarmAverage.on_train_batch_end

    def spy(self, trainer, module, *rest) -> None:
        seen["bias"].append(module.network.head.bias.detach().clone())
        seen["rates"].append([group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups])
        update(self, trainer, module, *rest)

    monkeypatch.setattr(WarmAverage, "on_train_batch_end", spy)
    return seen


def test_a_resumed_run_goes_on_and_exports_the_averaged_vocoder(
    data_root: Path,  # noqa: F811
    tmp_path: Path,
    seen: dict[str, list],
) -> None:
    start = Vocoder(width=16, blocks=1)
    save_file({key: value.half() for key, value in start.state_dict().items()}, tmp_path / "vocoder.safetensors")
    run, begin = tmp_path / "run", f"start_from={tmp_path}"
    train(run, data_root, "max_steps=3", begin)
    train(run, data_root, "max_steps=6", begin)
    checkpoint = torch.load(run / "last.ckpt", weights_only=False)
    assert checkpoint["global_step"] == len(seen["bias"]) == 6
    steps = [{int(state["step"]) for state in one["state"].values()} for one in checkpoint["optimizer_states"]]
    assert steps == [{6}, {6}]

    state, config, _ = averaged_state(run)
    vocoder: Vocoder = instantiate(config["stage"]["module"]["network"])
    vocoder.load_state_dict(split_state(state))  # nothing of the discriminators, nothing missing
    average = seen["bias"][0]
    for n, bias in enumerate(seen["bias"][1:], 1):
        average = average.lerp(bias, 1 - (1 + n) / (10 + n))
    torch.testing.assert_close(vocoder.head.bias, average)
    assert (vocoder.head.weight - start.head.weight).abs().max() < 0.05  # random weights are further away

    assert all(rates == [rates[0]] * 2 for rates in seen["rates"])
    assert seen["rates"][-1][0] < seen["rates"][3][0]  # the decay at the end of the budget
    columns = pd.read_csv(max((run / "logs").rglob("metrics.csv"))).columns
    assert {"val/loss", "val/mel", "val/phase"} <= set(columns)
