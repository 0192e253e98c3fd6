"""Was a sound file cut off, as by a full disk or a broken download? Decoders read what is left without a word.

WAV (RIFF) and AIFF state their length in the first chunk; Ogg marks its last page (RFC 3533). FLAC is checked by its
decoder, which fails; MP3 only by the length that its first frame may state.
"""

from __future__ import annotations

from pathlib import Path

UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF)  # what writers to a pipe leave where the length should stand
OGG_LAST, OGG_PAGE = 4, 65_536  # header type bit; no page is longer
LACKING = 0.01  # share of the stated MP3 frames that may be missing: statements include the encoder's padding


def is_cut(path: Path, frames_stated: int, frames_read: int) -> bool:
    """True where the file is shorter than it says it is."""
    with path.open("rb") as file:
        head = file.read(12)
        size = path.stat().st_size
        if head[:4] in (b"RIFF", b"FORM"):
            stated = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
            return stated not in UNKNOWN and size + 1 < stated + 8  # the last chunk's padding byte may be left out
        if head[:4] == b"OggS":
            file.seek(max(size - 2 * OGG_PAGE, 0))
            return not _ends_ogg(file.read())
    return frames_read < (1 - LACKING) * frames_stated


def _ends_ogg(tail: bytes) -> bool:
    """Does the last page carry the mark of the last one, and is all of it there?"""
    page = tail.rfind(b"OggS")
    header = tail[page : page + 27]
    if page < 0 or len(header) < 27:
        return False
    lengths = tail[page + 27 : page + 27 + header[26]]
    return bool(header[5] & OGG_LAST) and page + 27 + header[26] + sum(lengths) <= len(tail)
