"""Sound as browsers play it everywhere: MP3 from libsndfile, or Ogg Vorbis where that was built without MP3."""

from __future__ import annotations

import io
from pathlib import Path

import soundfile

from ditto.types import UserError

FORMATS = (("MP3", "MPEG_LAYER_III", "audio/mpeg"), ("OGG", "VORBIS", "audio/ogg"))


def encoded(file: Path, compression: float) -> tuple[bytes, str]:
    """A sound file as (bytes, media type), level unchanged; `compression` is 0 (largest) to 1 (smallest)."""
    try:
        wave, rate = soundfile.read(str(file), dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"cannot read '{file}' as audio: {str(error).splitlines()[0]}") from error
    name, subtype, media = next(one for one in FORMATS if one[1] in soundfile.available_subtypes(one[0]))
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=name, subtype=subtype, compression_level=compression)
    return buffer.getvalue(), media
