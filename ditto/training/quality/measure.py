"""The rows of one model, set by set.

real         unseen test clips: the floor of FAD, and what every judge makes of real music
train        as many training clips: what their diversity is
vocoder      the real clips through mel and vocoder: what the vocoder alone costs
griffin_lim  the same through 32 iterations of Griffin-Lim, on fewer clips; `real` and `vocoder` again at that n
copies       training clips through the vocoder: what copying would look like
generated    at every T: one clip for each real clip's template prompt, text only; and more at n_large
band         at every T: from the wordings of the same pieces that name instruments
no_text      at the first T: the noise of `generated` with the empty prompt; its rows are against prompts not given
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ditto.training.quality.copies import closest_rows, copies_rows
from ditto.training.quality.prompted import Prompted, band_prompted, prompted
from ditto.training.quality.studio import Make, Studio
from ditto.training.quality.yardsticks import Yardsticks
from eval.fad import Statistics
from eval.recognition.ear import Hearing
from eval.sets import Row, fad_rows, tag_rows


@dataclass
class Measurement:
    """One model, what it is held against, and the rows so far."""

    studio: Studio
    against: Yardsticks
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, rows: Sequence[Row], steps: int | None = None, prompts: int | None = None) -> None:
        """`prompts`: how many different prompts the clips were made from."""
        scale = None if steps is None else self.studio.guidance_scale
        about = {"set": name, "T": steps, "guidance_scale": scale, "prompts": prompts, "waves": self.studio.key(steps)}
        self.rows += [{**about, **one} for one in rows]

    def fad(self, embedded: Sequence[np.ndarray]) -> list[Row]:
        if not enough(embedded, self.against.reference.statistics):
            return []
        return [{**one, "reference": str(self.against.reference)} for one in fad_rows(embedded, self.against.reference)]


def enough(embedded: Sequence[np.ndarray], reference: Statistics) -> bool:
    """Whether the clips have a FAD; a warning for a rehearsal on fewer windows than the embedding has dimensions."""
    windows = sum(len(clip) for clip in embedded)
    if windows <= reference.dimension:
        warnings.warn(f"no FAD of {len(embedded)} clips: {windows} windows in {reference.dimension}-d", stacklevel=3)
    return windows > reference.dimension


def measure(studio: Studio, against: Yardsticks) -> list[Row]:
    """All rows of one model."""
    m, options = Measurement(studio, against), studio.options
    real = prompted(against.excerpts, len(against.excerpts), options["seed"])
    _measure_real(m, real)
    _measure_trips(m, real)
    if against.training:
        m.add("copies", copies_rows(studio, against.training, options["n_copies"]))
    for steps in options["steps"]:
        _measure_generated(m, steps)
        _measure_band(m, steps)
    _measure_no_text(m, real, options["steps"][0])
    return m.rows


def _measure_real(m: Measurement, real: list[Prompted]) -> None:
    few, embedded = m.studio.options["n_griffin_lim"], m.against.real
    m.add("real", [*m.fad(embedded), *tag_rows(embedded, _genres(real)), *_recognised(m, real, m.against.heard)])
    if 0 < few < len(real):
        m.add("real", m.fad(embedded[:few]))
    m.add("real", m.against.distance_rows(embedded, _prompts(real)))
    if training := m.against.training:
        m.add("real", closest_rows(m.studio, training, embedded, [c.excerpt for c in real]))
        first, excerpts = training.embedded[: len(real)], training.excerpts[: len(real)]
        diversity = m.against.distance_rows(first, [e.prompt for e in excerpts])
        m.add("train", [one for one in diversity if not str(one["metric"]).startswith("nearest")])


def _measure_trips(m: Measurement, real: list[Prompted]) -> None:
    few = m.studio.options["n_griffin_lim"]
    trips: dict[str, Make] = {"vocoder": m.studio.vocoder_trip, "griffin_lim": m.studio.griffin_lim_trip}
    for name, make in trips.items():
        clips = real if name == "vocoder" else real[:few]
        if not clips:
            continue
        files = m.studio.record(name, clips, make)
        embedded = m.studio.embed(files, name)
        for n in sorted({len(clips), min(few, len(clips))} - {0}, reverse=True):
            m.add(name, m.fad(embedded[:n]))
        m.add(name, [*tag_rows(embedded, _genres(clips)), *m.studio.round_trip_rows(clips, make)])
        if name == "vocoder":
            heard = m.studio.listen(files, name) if m.against.judge else []
            m.add(name, [*_recognised(m, clips, heard), *m.against.distance_rows(embedded, _prompts(clips))])


def _measure_generated(m: Measurement, steps: int) -> None:
    options = m.studio.options
    clips = prompted(m.against.excerpts, max(options["n"], options["n_large"]), options["seed"])
    make = m.studio.generate(steps)
    files = m.studio.record("generated", clips, make, steps)
    embedded = m.studio.embed(files, "generated")
    heard = m.studio.listen(files, "generated") if m.against.judge else []
    for n in sorted({options["n"], len(clips)}):
        some = clips[:n]
        rows = [*m.fad(embedded[:n]), *m.against.distance_rows(embedded[:n], _prompts(some))]
        rows += m.against.recognition_rows(heard[:n], [clip.asked for clip in some]) if heard else []
        m.add("generated", rows, steps, len(set(_prompts(some))))
    first = clips[: options["n"]]
    m.add("generated", tag_rows(embedded[: len(first)], _genres(first)), steps, len(set(_prompts(first))))
    if m.against.training:
        m.add("generated", closest_rows(m.studio, m.against.training, embedded, files, steps), steps)
    m.add("generated", [m.studio.timed(clips, make)[1]], steps)


def _measure_band(m: Measurement, steps: int) -> None:
    clips = band_prompted(m.against.excerpts, m.studio.options["n_band"], m.studio.options["seed"])
    if clips and m.against.judge:
        files = m.studio.record("band", clips, m.studio.generate(steps), steps)
        rows = m.against.recognition_rows(m.studio.listen(files, "band"), [clip.asked for clip in clips])
        m.add("band", rows, steps, len(set(_prompts(clips))))


def _measure_no_text(m: Measurement, clips: list[Prompted], steps: int) -> None:
    make = m.studio.generate(steps, with_text=False)
    embedded = m.studio.embed(m.studio.record("no_text", clips, make, steps), "no_text")
    m.add("no_text", [*m.fad(embedded), *tag_rows(embedded, _genres(clips)), m.studio.timed(clips, make)[1]], steps, 1)


def _recognised(m: Measurement, clips: list[Prompted], heard: Sequence[Hearing]) -> list[Row]:
    """Rows of real clips: with their template prompts, and with the wordings that name instruments."""
    if not heard:
        return []
    bands = {clip.name: clip.asked for clip in band_prompted([clip.excerpt for clip in clips], len(clips), 0)}
    pairs = [(one, bands[clip.name]) for clip, one in zip(clips, heard, strict=True) if clip.name in bands]
    rows = m.against.recognition_rows(heard, [clip.asked for clip in clips])
    named = m.against.recognition_rows([one for one, _ in pairs], [wish for _, wish in pairs]) if pairs else []
    return rows + [one for one in named if str(one["metric"]).startswith("instrument")]


def _genres(clips: Sequence[Prompted]) -> list[str]:
    return [clip.excerpt.genre for clip in clips]


def _prompts(clips: Sequence[Prompted]) -> list[str]:
    return [clip.asked.prompt for clip in clips]
