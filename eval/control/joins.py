"""Where a stitched piece was joined: (first sample, one past the last) of every crossfade, by kind of control."""

from __future__ import annotations

from functools import singledispatch

from ditto.controls.base import Control
from ditto.controls.inpainting import FADE_S, Inpainting
from ditto.controls.loop_free import LoopFree
from ditto.controls.looping import Looping
from ditto.controls.outpainting import Outpainting

Joins = list[tuple[int, int]]


@singledispatch
def joins(control: Control) -> Joins:
    """None for a control that edits nothing."""
    return []


@joins.register
def _outpainting(control: Outpainting) -> Joins:
    """Each round fades in over the end of all that came before."""
    overlap = control.clip.latent_frames_of(control.overlap_s) * control.clip.latent_hop
    step = control.clip.samples - overlap
    return [(k * step, k * step + overlap) for k in range(1, control.total_rounds() + 1)]


@joins.register
def _inpainting(control: Inpainting) -> Joins:
    """Next to the gap, outside of it."""
    first, end = (column * control.clip.latent_hop for column in control.gap())
    fade = round(FADE_S * control.clip.sample_rate)
    return [(first - min(fade, first), first), (end, end + min(fade, control.clip.samples - end))]


@joins.register
def _looping(control: Looping) -> Joins:
    """At the loop's start, where its end fades in, and where the recording ends."""
    overlap = control.clip.latent_frames_of(control.overlap_s) * control.clip.latent_hop
    return [(0, overlap), (control.clip.samples - overlap, control.clip.samples)]


@joins.register
def _loop_free(control: LoopFree) -> Joins:
    """At the loop's start, where the second window fades in."""
    return [(0, control.windows()[0].stop * control.clip.latent_hop)]
