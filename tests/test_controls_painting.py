"""Painting: what is masked, how the result is stitched, how rounds lengthen it, and what is refused."""

import pytest
import torch

from ditto.audio.io import read, write_flac
from ditto.controls.base import ControlError, rounds
from ditto.controls.combined import Combined
from ditto.controls.inpainting import Inpainting
from ditto.controls.intensity import Intensity
from ditto.controls.inversion import Inversion
from ditto.controls.loop_free import LoopFree
from ditto.controls.looping import Looping
from ditto.controls.outpainting import Outpainting
from ditto.controls.stitch import close_loop, crossfade, join
from ditto.types import Generation, History, UserError
from tests.control_cases import FRAMES, RATE, bound, latents, recordings, requests, toy

HOP = 256


def seconds(frames: int) -> float:
    return frames * HOP / RATE


def ramp(start: int, count: int = 2) -> torch.Tensor:
    """[B, 1, F, T] whose value is the frame number."""
    return torch.arange(start, start + FRAMES).float().expand(count, 1, 16, FRAMES)


def test_outpainting_repeats_the_end_at_the_start():
    control = Outpainting(recordings(), overlap_s=seconds(20)).bind(toy(), requests())
    control.target = control.set_reference(ramp(0), control.reference_BN)
    assert control.mask_T.tolist() == [True] * 20 + [False] * 44
    assert control.target[0, 0, 0].tolist() == list(range(44, 64))
    continued = ramp(44)
    assert control.loss(continued).tolist() == [0, 0]
    assert control.loss(continued + 2).tolist() == [4, 4]


def test_inpainting_keeps_both_sides():
    control = Inpainting(recordings(), gap_s=seconds(24)).bind(toy(), requests())
    assert control.gap() == (20, 44)
    x_0 = control.x_ref.clone()
    x_0[..., 20:44] = 9
    assert control.loss(x_0).tolist() == [0, 0]
    early = Inpainting(recordings(), gap_s=seconds(24), gap_start_s=seconds(4)).bind(toy(), requests())
    assert early.gap() == (4, 28)


def test_looping_swaps_the_edges():
    control = Looping(recordings(), overlap_s=seconds(10)).bind(toy(), requests())
    control.target = control.set_reference(ramp(0), control.reference_BN)
    assert control.target[0, 0, 0].tolist() == [*range(54, 64), *range(10)]


def test_reference_free_looping_compares_its_windows():
    control = LoopFree(overlap_s=seconds(8), loop_s=seconds(32)).bind(toy(), requests())
    assert control.windows() == (slice(0, 8), slice(32, 40))
    assert control.loss(ramp(0)).tolist() == [32**2, 32**2]
    assert LoopFree(overlap_s=seconds(8)).bind(toy(), requests()).windows()[1] == slice(56, 64)


def test_references_are_taken_in_turn():
    control = Inversion(recordings()).bind(toy(), requests(3))
    assert torch.equal(control.target[0], control.target[2])
    assert not torch.equal(control.target[0], control.target[1])
    listed = Inversion([f"{recordings()}/1.flac"]).bind(toy(), requests(1))
    assert torch.equal(listed.target[0], control.target[1])


def test_start_chooses_the_excerpt():
    whole = read(f"{recordings()}/0.flac", RATE)
    control = Inversion(f"{recordings()}/0.flac", start_s=seconds(10)).bind(toy(), requests(1))
    assert torch.equal(control.reference_BN[0], whole[10 * HOP : 74 * HOP])


def test_the_reference_itself_has_no_seam():
    control = Inpainting(recordings(), gap_s=0.3).bind(toy(), requests())
    metrics = control.metrics(toy().encode_audio(control.reference_BN), control.reference_BN)
    torch.testing.assert_close(metrics["overlap_mse"], torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(metrics["seam_db"], torch.zeros(2), atol=1e-3, rtol=0)
    louder = control.metrics(toy().encode_audio(control.reference_BN), control.reference_BN * 10 ** (6 / 20))
    torch.testing.assert_close(louder["seam_db"], torch.full((2,), 6.0), atol=0.1, rtol=0)


# Stitching


def test_crossfade_keeps_what_is_equal_and_the_power_of_what_is_not():
    a, b = torch.randn(2, 2, 50_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(crossfade(a, a), a)
    torch.testing.assert_close(crossfade(a, b).square().mean(1), torch.ones(2), atol=0.03, rtol=0)
    assert torch.equal(crossfade(a, b)[:, 0], a[:, 0])
    torch.testing.assert_close(crossfade(a, b)[:, -1], b[:, -1])
    assert torch.equal(crossfade(0 * a, 0 * b), 0 * a)


def test_join_and_close_loop_of_one_tone_leave_no_click():
    time = torch.arange(4000) / 100  # a period of 100 samples
    tone = torch.sin(2 * torch.pi * time)[None]
    joined = join(tone[:, :3000], tone[:, 2000:], 1000)
    torch.testing.assert_close(joined, tone, atol=1e-4, rtol=0)
    loop = close_loop(tone[:, :1100], 100)
    assert loop.shape == (1, 1000)
    torch.testing.assert_close(loop, tone[:, :1000], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "frames"),
    [("outpainting", 106), ("inpainting", 64), ("looping", 94), ("loop_free", 47), ("loop_free_short", 34)],
)
def test_finished_length(name, frames):
    """Overlaps of 0.25, 0.2 and a loop of 0.4 s are 22, 17 and 34 frames."""
    control = bound(name)
    finished = control.finish(latents(), toy().wave(latents()))
    assert finished.shape == (2, frames * HOP)


@pytest.mark.parametrize("name", ["outpainting", "inpainting", "looping"])
def test_finished_wave_keeps_the_reference_and_does_not_jump(name):
    control = bound(name)
    wave = toy().wave(control.x_ref)
    finished = control.finish(control.x_ref, wave)
    same = slice(30 * HOP, 40 * HOP) if name != "inpainting" else slice(0, 1)  # the sides are as short as the fades
    assert torch.equal(finished[:, same], control.reference_BN[:, same])
    largest = torch.cat([wave.diff().abs(), control.reference_BN.diff().abs()], 1).amax(1)
    assert (torch.cat([finished, finished[:, :1]], 1)[:, :-1].diff().abs().amax(1) <= 1.1 * largest).all()


# Rounds


def fake(control, number):
    x_0 = latents(len(control.clips), seed=number)
    return Generation(x_0, x_0, toy().wave(x_0), History())


def test_rounds_continue_the_clip_before():
    made = list(rounds(Outpainting(recordings(), overlap_s=seconds(20), repeats=3).bind(toy(), requests()), fake))
    assert [control.round for control, _ in made] == [0, 1, 2]
    second, first_x_0 = made[1][0], made[0][1].x_0
    assert torch.equal(second.target, first_x_0[..., 44:])
    lengths = [control.finish(g.x_0, g.wave_BN).shape[1] // HOP for control, g in made]
    assert lengths == [108, 152, 196]


def test_length_decides_the_number_of_rounds():
    control = Outpainting(recordings(), overlap_s=seconds(20), length_s=2.0).bind(toy(), requests())
    *_, (last, generation) = rounds(control, fake)
    assert last.total_rounds() == 3
    assert last.finish(generation.x_0, generation.wave_BN).shape[1] / RATE >= 2.0


def test_combined_controls_have_the_rounds_of_their_parts():
    parts = {"outpainting": Outpainting(recordings(), overlap_s=0.2, repeats=2), "intensity": Intensity("flat")}
    made = list(rounds(Combined(parts, {}).bind(toy(), requests()), fake))
    assert len(made) == 2
    following = made[1][0].controls["outpainting"]
    assert torch.equal(made[1][0].target[:, : following.target[0].numel()], following.target.flatten(1))
    assert len(list(rounds(Intensity().bind(toy(), requests()), fake))) == 1


# Refusals


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (Outpainting(overlap_s=7), r"overlap_s=7 does not fit a clip of 0\.74 s: choose 0\.01 to 0\.73 s"),
        (Outpainting(overlap_s=0), "overlap_s=0 does not fit"),
        (Outpainting(overlap_s=0.2, repeats=0), "repeats=0"),
        (Inpainting(gap_s=0.8), "gap_s=0.8 does not fit"),
        (Inpainting(gap_s=0.3, gap_start_s=0.6), "gap_start_s=0.6 does not fit"),
        (Looping(overlap_s=0.5), "overlap_s=0.5 does not fit"),
        (LoopFree(overlap_s=0.5), "overlap_s=0.5 does not fit"),
        (LoopFree(overlap_s=0.2, loop_s=0.1), "loop_s=0.1 does not fit"),
        (Inversion("nowhere.wav"), "no audio file at 'nowhere.wav'"),
        (Inversion(__file__), "cannot read .* as audio"),
        (Inversion([]), "list of references is empty"),
    ],
)
def test_refusals_are_one_clear_line(control, message):
    with pytest.raises(UserError, match=message) as error:
        control.bind(toy(), requests())
    assert "\n" not in str(error.value)


def test_a_short_reference_and_a_folder_without_audio(tmp_path):
    with pytest.raises(ControlError, match="no audio in the folder"):
        Inversion(str(tmp_path)).bind(toy(), requests())
    write_flac(tmp_path / "short.flac", torch.zeros(1000), RATE)
    with pytest.raises(UserError, match="too short for a clip"):
        Inversion(str(tmp_path)).bind(toy(), requests())


def test_the_shipped_examples_are_references():
    control = Inversion().bind(toy(), requests(9))
    assert torch.isfinite(control.target).all()
    assert torch.equal(control.target[0], control.target[8])
    long = Inversion("long_examples").bind(toy(), requests(5), 2048)
    assert long.target.shape[-1] == 2048
    assert torch.equal(long.target[0], long.target[4])
