"""The mix of a take: rooms and a gentle equaliser, drawn by its id. The piece itself (take 0) is left as it is.

Filters: R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (1998).
Room: noise that decays exponentially (Moorer, "About this reverberation business", 1979).
"""

import math
import random

import numpy as np

from ditto.data.plan import seed_of

LOW_HZ, BELL_HZ, HIGH_HZ = (80.0, 300.0), (300.0, 4000.0), (3000.0, 8000.0)
SHELF_DB, BELL_DB = 5.0, 4.0
ROOM_SHARE = 0.35


def take_number(piece_id: str) -> int:
    """3 for ``train-00042.3``, 0 for a piece itself."""
    number = piece_id.rpartition(".")[2]
    return int(number) if "." in piece_id and number.isdigit() else 0


def shelf(gain_db: float, hz: float, rate: int, high: bool) -> np.ndarray:
    """One second-order section [1, 6]: a shelf of slope 1, half of its gain in dB at ``hz``."""
    amplitude, w = 10 ** (gain_db / 40), 2 * math.pi * hz / rate
    # The low shelf's formulas with the cosine's sign turned are the high shelf's, but for the signs of odd powers.
    c, sign = (-math.cos(w), -1.0) if high else (math.cos(w), 1.0)
    up, down, root = amplitude + 1, amplitude - 1, math.sqrt(2 * amplitude) * math.sin(w)
    b = (amplitude * (up - down * c + root), sign * 2 * amplitude * (down - up * c), amplitude * (up - down * c - root))
    a = (up + down * c + root, sign * -2 * (down + up * c), up + down * c - root)
    return np.array([[*b, *a]]) / a[0]


def bell(gain_db: float, hz: float, rate: int, q: float) -> np.ndarray:
    """One second-order section [1, 6] with ``gain_db`` at ``hz`` and none far from it."""
    amplitude, w = 10 ** (gain_db / 40), 2 * math.pi * hz / rate
    alpha, c = math.sin(w) / (2 * q), -2 * math.cos(w)
    b, a = (1 + alpha * amplitude, c, 1 - alpha * amplitude), (1 + alpha / amplitude, c, 1 - alpha / amplitude)
    return np.array([[*b, *a]]) / a[0]


def equaliser(rng: random.Random, rate: int) -> np.ndarray:
    """Second-order sections [3, 6]: a low shelf, a bell and a high shelf, each up or down by a few dB."""
    low = shelf(rng.uniform(-SHELF_DB, SHELF_DB), rng.uniform(*LOW_HZ), rate, high=False)
    middle = bell(rng.uniform(-BELL_DB, BELL_DB), rng.uniform(*BELL_HZ), rate, rng.uniform(0.5, 1.5))
    high = shelf(rng.uniform(-SHELF_DB, SHELF_DB), rng.uniform(*HIGH_HZ), rate, high=True)
    return np.concatenate([low, middle, high])


def reverberate(wave: np.ndarray, seed: int, rate: int = 44100) -> np.ndarray:
    """Add a room: the time to fall by 60 dB is 0.3 to 1.8 s, its energy -24 to -9 dB of the dry sound's."""
    from scipy.signal import oaconvolve

    rng = random.Random(seed)
    seconds, level_db = rng.uniform(0.3, 1.8), rng.uniform(-24, -9)
    time_s = np.arange(int(seconds * rate)) / rate
    room = np.random.default_rng(seed).standard_normal(len(time_s)) * 10 ** (-3 * time_s / seconds)
    room *= 10 ** (level_db / 20) / np.sqrt(np.sum(room**2))
    return wave + oaconvolve(wave, room.astype(np.float32))[: len(wave)]


def mixed(wave: np.ndarray, piece_id: str, rate: int, room_share: float = ROOM_SHARE) -> np.ndarray:
    """A take's sound [samples] equalised, with a room of its own for ``room_share`` of the takes; float32."""
    from scipy.signal import sosfilt

    if not take_number(piece_id):
        return wave
    seed = seed_of(f"mix {piece_id}")
    rng = random.Random(seed)
    wave = sosfilt(equaliser(rng, rate), wave).astype(np.float32)
    return reverberate(wave, seed, rate) if rng.random() < room_share else wave
