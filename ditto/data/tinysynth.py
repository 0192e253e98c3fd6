"""MIDI to audio without FluidSynth: the PyPI package ``tinysoundfont``, for machines that offer Python packages only.

It reads .sf2 and .sf3 soundfonts but has no reverb, so a room is added (`mix.py`), drawn by the piece's seed.
Events start on their exact sample; the package's own sequencer rounds every pause up to a whole sample.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ditto.data.labels import Piece
from ditto.data.mix import mixed, reverberate
from ditto.data.plan import seed_of
from ditto.data.render import MAX_SECONDS, SYNTH_RATE, TIMEOUT, RenderError, finish, write_flac
from ditto.errors import UserError

TAIL_SECONDS, GAIN_DB, DRUMS, VOICES = 3.0, -12.0, 9, 256


def require() -> None:
    """UserError unless ``tinysoundfont`` can be imported."""
    try:
        import tinysoundfont  # noqa: F401
    except ImportError as error:
        raise UserError("--synth tinysoundfont needs that package: pip install --no-deps tinysoundfont") from error


@cache
def _font(path: Path) -> Any:
    """The soundfont, read once a process (an .sf3 takes seconds to decode)."""
    from tinysoundfont._tinysoundfont import SoundFont

    try:
        return SoundFont(str(path))
    except Exception as error:  # the package raises a bare RuntimeError, or worse with a new version
        raise UserError(f"cannot read the soundfont {path}: {error}") from error


def _send(synth: Any, event: Any) -> None:
    """One MIDI event to the synthesiser; a programme that the soundfont lacks leaves the channel as it is."""
    from tinysoundfont import midi

    channel = event.channel
    match event.action:
        case midi.NoteOn(key, velocity):
            synth.channel_note_on(channel, key, velocity / 127)
        case midi.NoteOff(key):
            synth.channel_note_off(channel, key)
        case midi.ControlChange(control, value):
            synth.channel_midi_control(channel, control, value)
        case midi.ProgramChange(program):
            try:
                synth.channel_set_preset_number(channel, program, channel == DRUMS)
            except RuntimeError:
                return
        case midi.PitchBend(bend):
            synth.channel_set_pitch_wheel(channel, bend)


def dry(midi: bytes, soundfont: Path) -> np.ndarray:
    """Mono float32 at 44.1 kHz without reverb; RenderError beyond the bounds that FluidSynth has too."""
    from tinysoundfont._tinysoundfont import OutputMode, SoundFont
    from tinysoundfont.midi import load_memory

    events = load_memory(midi)
    if not events:
        raise RenderError("silent")
    total = round((events[-1].t + TAIL_SECONDS) * SYNTH_RATE)
    if total > MAX_SECONDS * SYNTH_RATE:
        raise RenderError(f"longer than {MAX_SECONDS:.0f} s")
    synth, deadline = SoundFont(_font(soundfont)), time.monotonic() + TIMEOUT
    synth.set_output(OutputMode.StereoInterleaved, SYNTH_RATE, GAIN_DB)
    synth.set_max_voices(VOICES)
    for channel in range(16):
        synth.channel_set_preset_number(channel, 0, channel == DRUMS)
    stereo, position = np.zeros((total, 2), np.float32), 0
    for event in events:
        start = round(event.t * SYNTH_RATE)
        if start > position:
            synth.render(stereo[position:start].data.cast("B"))
            position = start
        _send(synth, event)
        if time.monotonic() > deadline:
            raise RenderError(f"took more than {TIMEOUT:.0f} s")
    synth.render(stereo[position:].data.cast("B"))
    return stereo.mean(axis=1)


def render_tiny(piece: Piece, midi: bytes, out: Path, soundfont: Path) -> float:
    """As :func:`ditto.data.render.render_piece`, with this synthesiser."""
    seed = seed_of(f"render {piece.piece_id}")
    # Every piece has a room here, so takes need no second one.
    wave = mixed(reverberate(dry(midi, soundfont), seed), piece.piece_id, SYNTH_RATE, room_share=0.0)
    return write_flac(out, finish(wave, seed))
