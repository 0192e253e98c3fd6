"""Does the clip play the tune? (DITTO, section 4.2 and table 3; the chroma feature is Music ControlNet's.)

The target is the pitch class of each frame (0 = C), -1 where the tune rests; frames that rest do not count.

melody_accuracy     percentage of frames whose strongest pitch class is the target's (100 is best). Classes by the power
                    above `cutoff_hz` (second-order Butterworth), in 12 bins a frame, averaged over `smoothing_s`;
                    a silent frame has no class. Methods optimise this feature.
melody_f0_accuracy  percentage of frames whose fundamental, by a pitch tracker that no method optimises
                    (eval/control/pitch.py), is within 50 cents of the target in any octave: "raw chroma accuracy" of
                    Poliner et al. 2007; whether the tracker calls the frame voiced does not count.

Legend: N samples, T frames, K frequency bins.
"""

from __future__ import annotations

import librosa
import numpy as np

from ditto.types import UserError, analysis_window
from eval.control import pitch, sound

SILENT = -1
SILENT_POWER = 1e-9  # summed over bins; music has some 1 to 1e4


def validate(wave_N: np.ndarray, rate: int, target_T: np.ndarray) -> int:
    """The hop in samples; UserError unless the target holds pitch classes, at least one, and fits the wave."""
    target_T = np.asarray(target_T)
    if target_T.ndim != 1 or not np.issubdtype(target_T.dtype, np.integer):
        raise UserError(f"a melody is integer pitch classes [T], not {target_T.dtype} {list(target_T.shape)}")
    if not ((target_T >= SILENT) & (target_T < 12)).all() or (target_T == SILENT).all():
        raise UserError("pitch classes are 0 (C) to 11 (B), -1 where the tune rests, and one frame must have a note")
    return sound.validate(wave_N, rate, target_T.size)


def strongest_classes(
    wave_N: np.ndarray, rate: int, hop: int, smoothing_s: float = 0.1, n_fft: int = 2048, cutoff_hz: float = 261.6
) -> np.ndarray:
    """The pitch class with the most power in each frame, [N] -> [T]; -1 in silence."""
    from scipy.ndimage import uniform_filter1d  # a second to load, which --help need not wait for
    from scipy.signal import butter, freqz

    n_fft = analysis_window(rate, n_fft)
    b, a = butter(2, cutoff_hz, "highpass", fs=rate)
    _, gain_K = freqz(b, a, worN=np.fft.rfftfreq(n_fft, 1 / rate), fs=rate)
    power_KT = sound.power(wave_N, hop, n_fft) * np.abs(gain_K[:, None]) ** 2
    chroma = librosa.feature.chroma_stft(S=power_KT, sr=rate, n_fft=n_fft, norm=None, tuning=0.0)
    window = round(smoothing_s * rate / hop)
    chroma = uniform_filter1d(chroma, max(1, window - 1 + window % 2), axis=1, mode="nearest")
    return np.where(chroma.sum(0) > SILENT_POWER, chroma.argmax(0), SILENT)


def classes_of(hz_T: np.ndarray) -> np.ndarray:
    """The pitch class nearest to each frequency; -1 where there is none (0 Hz)."""
    hz_T = np.asarray(hz_T, dtype=np.float64)
    midi_T = 69 + 12 * np.log2(np.where(hz_T > 0, hz_T, 440.0) / 440.0)
    return np.where(hz_T > 0, np.round(midi_T).astype(int) % 12, SILENT)


def accuracy(classes_T: np.ndarray, target_T: np.ndarray) -> float:
    """Percentage of the target's frames with a note whose class is right."""
    notes = np.asarray(target_T) != SILENT
    return float(100 * np.mean(np.asarray(classes_T)[notes] == np.asarray(target_T)[notes]))


def evaluate(
    wave_N: np.ndarray,
    rate: int,
    target_T: np.ndarray,
    smoothing_s: float = 0.1,
    n_fft: int = 2048,
    cutoff_hz: float = 261.6,
) -> dict[str, float]:
    """Both metrics of one clip against the pitch classes of its tune."""
    hop = validate(wave_N, rate, target_T)
    heard_T = strongest_classes(wave_N, rate, hop, smoothing_s, n_fft, cutoff_hz)
    tracked_T = classes_of(pitch.track(wave_N, rate, hop))
    return {"melody_accuracy": accuracy(heard_T, target_T), "melody_f0_accuracy": accuracy(tracked_T, target_T)}
