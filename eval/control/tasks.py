"""Which metrics judge which control: one function a kind of control, from the bound control and the clip's sound.

A control of your own without a function here is measured by its own `score` on the wave that was read from the file
(x_0 is that wave's encoding). Where a piece was made in several rounds only its joins are measured: the clips before
the last one are not kept by themselves.

Legend: N samples of a clip.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import torch

from ditto.controls.base import Control, Sound
from ditto.controls.combined import Combined
from ditto.controls.intensity import Intensity
from ditto.controls.inversion import Inversion
from ditto.controls.loop_free import LoopFree
from ditto.controls.looping import Looping
from ditto.controls.melody import Melody
from ditto.controls.outpainting import Outpainting
from ditto.controls.painting import Painting
from ditto.controls.structure import SelfSimilarity
from eval.control import intensity, melody, reconstruction, seam, structure
from eval.control.heard import Heard
from eval.control.joins import joins

Scores = dict[str, float]


@singledispatch
def scores(control: Control, position: int, heard: Heard) -> Scores:
    """The metrics of one clip; `position` is its place among the clips that the control is bound to."""
    wave_BN = torch.from_numpy(heard.own_N)[None].to(control.model.latent_dtype)
    one = control.select([position])
    with torch.no_grad():
        found = one.score(Sound(one.model, one.model.encode_audio(wave_BN), wave_BN))
    return {name: float(value[0]) for name, value in found.items()}


@scores.register
def _combined(control: Combined, position: int, heard: Heard) -> Scores:
    parts = [scores(part, position, heard) for part in control.controls.values()]
    return {name: value for part in parts for name, value in part.items()}


@scores.register
def _intensity(control: Intensity, position: int, heard: Heard) -> Scores:
    target_T = control.target[position].numpy()
    return intensity.evaluate(heard.own_N, heard.rate, target_T, control.smoothing_s, control.from_s)


@scores.register
def _melody(control: Melody, position: int, heard: Heard) -> Scores:
    one_hot_PT = control.target[position].numpy()
    classes_T = np.where(one_hot_PT.any(0), one_hot_PT.argmax(0), melody.SILENT)
    settings = (control.smoothing_s, control.n_fft, control.cutoff_hz)
    return melody.evaluate(heard.own_N, heard.rate, classes_T, *settings)


@scores.register
def _structure(control: SelfSimilarity, position: int, heard: Heard) -> Scores:
    target_TT = control.target[position].numpy()
    return structure.evaluate(heard.own_N, heard.rate, target_TT, control.smoothing_s, control.n_mfcc)


@scores.register
def _painting(control: Painting, position: int, heard: Heard) -> Scores:
    reference_N = control.reference_BN[position].numpy()
    regions = control.frame_regions()
    given = reconstruction.evaluate(heard.own_N, reference_N, heard.rate, control.clip.hop, regions)
    return given | _seams(control, position, heard)


@scores.register
def _outpainting(control: Outpainting, position: int, heard: Heard) -> Scores:
    if control.total_rounds() > 1:
        return _seams(control, position, heard)
    return _painting(control, position, heard)


@scores.register
def _loop_free(control: LoopFree, position: int, heard: Heard) -> Scores:
    windows = [control.frame_windows()]
    alike = reconstruction.evaluate(heard.own_N, heard.own_N, heard.rate, control.clip.hop, windows)
    return alike | _seams(control, position, heard)


@scores.register
def _inversion(control: Inversion, position: int, heard: Heard) -> Scores:
    reference_N, everything = control.reference_BN[position].numpy(), slice(0, control.clip.frames)
    names = ("reconstruction", "reconstruction_db")
    return reconstruction.evaluate(
        heard.own_N, reference_N, heard.rate, control.clip.hop, [(everything, everything)], *names
    )


def _seams(control: Painting | LoopFree, position: int, heard: Heard) -> Scores:
    """Of the stitched piece; text-only clips beside a run, of which only the clip is kept, are stitched here."""
    piece_S = heard.stitched_S
    if piece_S is None:
        wave_BN = torch.from_numpy(heard.own_N).expand(len(control.clips), -1)
        piece_S = control.finish(wave_BN, wave_BN)[position].numpy()
    circular = isinstance(control, Looping | LoopFree)
    measurable = seam.measurable(piece_S, heard.rate, joins(control), circular)
    return seam.evaluate(piece_S, heard.rate, measurable, circular) if measurable else {}
