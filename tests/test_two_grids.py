"""A model whose x_0 has one column every few analysis frames: tasks keep their seconds, and every gradient holds."""

import functools

import pytest
import torch
from matplotlib.figure import Figure

from ditto.audio.features import spectral_centroid
from ditto.controls.base import Sound
from ditto.controls.function import FunctionControl
from ditto.controls.painting import Painting
from ditto.controls.reference import reference_waves
from ditto.models.toy import Toy
from ditto.sampling import DDIM
from ditto.types import ClipSpec, UserError, analysis_window
from eval.control.heard import Heard
from eval.control.tasks import scores
from tests.control_cases import CASES, FRAMES, RATE, requests
from tests.control_cases import toy as fine
from tests.finite_differences import directional_check

STRIDE = 4
every_control = pytest.mark.parametrize("name", CASES)
PAINTED = ("outpainting", "inpainting", "looping", "loop_free")


@functools.cache
def coarse(dtype: str = "float32") -> Toy:
    return Toy(frames=FRAMES, dtype=dtype, stride=STRIDE)


def bound(name: str, dtype: str = "float32"):
    return CASES[name]().bind(coarse(dtype), requests())


def latents(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, *coarse().shape, generator=draw, dtype=torch.float64).to(dtype)


def test_a_clip_states_both_grids():
    clip = ClipSpec(sample_rate=16000, hop=160, frames=1024, mel_bins=64, stride=4)
    assert (clip.latent_frames, clip.latent_hop, clip.samples) == (256, 640, 163840)
    assert clip.seconds == 10.24
    assert (clip.frames_of(1.0), clip.latent_frames_of(1.0)) == (100, 25)
    assert [analysis_window(rate) for rate in (16000, 22050, 44100, 48000)] == [2048, 2048, 4096, 4096]


@every_control
def test_finite_differences_through_the_chain(name):
    control, sampler = bound(name, "float64"), DDIM(steps=3, guidance_scale=2.0)
    condition = control.model.encode(["a calm song", "a loud one"])
    directional_check(lambda x_T: control.loss(sampler(control.model, x_T, condition)), latents(torch.float64))


@every_control
def test_what_is_heard_is_measured_the_same_on_both_grids(name):
    """Curves, tunes and forms live on the analysis grid: the same wave gives the same metric."""
    control, other = bound(name), CASES[name]().bind(fine(), requests())
    assert control.clip.seconds == other.clip.seconds
    wave_BN = coarse().wave(latents())
    ours, theirs = (c.metrics(c.model.encode_audio(wave_BN), wave_BN) for c in (control, other))
    for key in ours.keys() - {"overlap_mse", "reconstruction_mse"} - ({"seam_db"} if name == "combined" else set()):
        if key != "seam_db":  # its regions are whole columns, so they differ by up to half of one
            torch.testing.assert_close(ours[key], theirs[key])


@pytest.mark.parametrize("name", PAINTED)
def test_painted_regions_keep_their_seconds(name):
    control, other = bound(name), CASES[name]().bind(fine(), requests())
    if isinstance(control, Painting):
        pairs = zip(control.frame_regions(), other.frame_regions(), strict=True)
        ours, theirs = zip(*[(a[0], b[0]) for a, b in pairs], strict=True)
        assert int(control.mask_T.sum()) * STRIDE == sum(s.stop - s.start for s in ours)
    else:
        ours, theirs = control.frame_windows(), other.frame_windows()
    for mine, its in zip(ours, theirs, strict=True):
        assert abs(mine.start - its.start) <= STRIDE
        assert abs(mine.stop - its.stop) <= STRIDE
        assert mine.start % STRIDE == mine.stop % STRIDE == 0


@pytest.mark.parametrize("name", PAINTED)
def test_the_piece_is_stitched_in_samples(name):
    control, other = bound(name), CASES[name]().bind(fine(), requests())
    x_0 = latents()
    piece = control.finish(x_0, coarse().wave(x_0))
    expected = other.finish(x_0, coarse().wave(x_0))
    assert abs(piece.shape[1] - expected.shape[1]) <= 2 * STRIDE * control.clip.hop
    assert piece.isfinite().all()


@every_control
def test_the_evaluation_agrees_on_the_written_wave(name):
    control, x_0 = bound(name, "float64"), latents(torch.float64)
    wave_BN = coarse("float64").wave(x_0)
    own = control.metrics(coarse("float64").encode_audio(wave_BN), wave_BN)
    heard = scores(control, 1, Heard(wave_BN[1].numpy(), None, RATE))
    for key in ("intensity_mse", "structure_mse", "brightness_mse", "seam_db"):
        if key in own:
            assert heard[key] == pytest.approx(float(own[key][1]), rel=1e-3, abs=1e-6)


@every_control
def test_plots_in_seconds(name):
    control, x_0 = bound(name), latents()
    for part in control.parts():
        axes = Figure().subplots()
        part.plot(axes, 1, x_0, coarse().wave(x_0))
        for line in axes.lines:
            if "time" in axes.get_xlabel():
                assert line.get_xdata().max() <= control.clip.seconds


def test_a_clip_between_two_columns_is_refused():
    with pytest.raises(UserError, match=r"multiples of 4: set frames=64, or seconds=0\.74"):
        coarse().check_frames(66)
    assert coarse().frames(0.75) == 64


def test_a_function_is_told_the_grid_of_the_model():
    control = FunctionControl(spectral_centroid, 1500.0).bind(coarse(), requests())
    assert control.target.shape == (2, FRAMES)
    sound = Sound(coarse(), latents())
    torch.testing.assert_close(control.measure(sound), spectral_centroid(sound.wave_BN, RATE, 256))


def test_longer_clips_take_the_long_examples():
    short = reference_waves("examples", 0.0, ClipSpec(22050, 256, 512, 160), requests(1))
    long = reference_waves("examples", 0.0, ClipSpec(16000, 160, 1024, 64, stride=4), requests(1))
    assert short.shape == (1, 131072)
    assert long.shape == (1, 163840)
    assert long.abs().max() > 0.01
