"""Run by the judges' interpreter: what the packages do when nothing fences them, as JSON on the last line.

    .venv-judges/bin/python tests/judge_traps.py FOLDER_OF_judge_weights

Each value is what a test asserts, so that a release that mends a trap is noticed and its fence can go.
"""

import json
import os
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch

sys.path.append(str(Path(__file__).parents[1]))
from eval.judges.compiled import spare_compiled_parts

RATE = 48_000


def noise(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """The waves of tests/test_eval_judges.py."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def of_laion_clap(package, folder: Path) -> dict:
    """Random crops; a CLAP score for each order in which a directory may be listed; what import and building leave."""
    state = torch.get_rng_state()
    score = package.CLAPScore(str(folder / "hub"), "music_audioset")
    score.model.requires_grad_(False)
    drawn = not torch.equal(state, torch.get_rng_state())
    wave = np.concatenate([noise(0, 10.5), np.zeros(RATE // 2, np.float32)])
    crops = [score.model.get_audio_embedding_from_data(wave[None]) for _ in range(2)]
    sounds = folder / "pairs"
    sounds.mkdir(exist_ok=True)
    (sounds.parent / "pairs.csv").write_text("caption\na happy song\na very long and sad description\n")
    for name, level in (("a", 0.01), ("b", 1.0)):
        soundfile.write(sounds / f"{name}.wav", level * noise(1, 1.0), RATE)
    scores = []
    for names in (["a.wav", "b.wav"], ["b.wav", "a.wav"]):
        with mock.patch.object(os, "listdir", return_value=names):
            scores.append(float(score.score(str(folder / "pairs.csv"), str(sounds))[0]))
    return {
        "crops_differ": float(np.abs(crops[0] - crops[1]).max()),
        "scores_by_directory_order": scores,
        "draws_random_numbers": drawn,
        "extends_the_path": any(entry.endswith("laion_clap") for entry in sys.path),
    }


def of_frechet_audio_distance(package, folder: Path) -> dict:
    """Distances of its own and other embeddings; a broken file is a distance of -1, PANN's rows become one, and its
    checkpoint, laid out as the released one, does not load."""
    before = torch.hub.get_dir()
    judge = package.FrechetAudioDistance(str(folder / "hub"), "encodec", sample_rate=24_000)
    moved = torch.hub.get_dir() != before
    embeddings = [judge.get_embeddings([noise(seed, 4.0, 24_000)], 24_000) for seed in (4, 5)]
    np.savez(folder / "encodec.npz", *embeddings)
    full_rank = [noise(seed, 400 * 128 / RATE).reshape(400, 128) for seed in (6, 7)]
    for name in ("good", "broken"):
        (folder / name).mkdir(exist_ok=True)
        soundfile.write(folder / name / "a.wav", noise(2, 1.0, 24_000), 24_000)
    (folder / "broken/a.wav").write_bytes(b"RIFF")
    broken = judge.score(str(folder / "good"), str(folder / "broken"))
    try:
        package.FrechetAudioDistance(str(folder / "hub"), "pann", sample_rate=16_000)
        loads = True
    except Exception as error:
        loads = "weights_only" not in str(error)
    released = torch.load(folder / "hub/Cnn14_16k_mAP%3D0.438.pth", weights_only=False)
    with mock.patch.object(torch, "load", return_value=released):
        pann = package.FrechetAudioDistance(str(folder / "hub"), "pann", sample_rate=16_000)
    flat = pann.get_embeddings([noise(3, 1.0, 16_000)] * 2, 16_000).shape
    return {
        "distance": distance(judge, embeddings),
        "full_rank_distance": distance(judge, full_rank),
        "moves_the_hub": moved,
        "score_of_a_broken_file": broken,
        "released_pann_loads": loads,
        "shape_of_two_pann_clips": flat,
    }


def distance(judge, embeddings: list[np.ndarray]) -> float:
    """The package's own, of two sets [n, D]."""
    one, other = (judge.calculate_embd_statistics(rows) for rows in embeddings)
    return float(judge.calculate_frechet_distance(*one, *other))


def main(folder: Path) -> None:
    spare_compiled_parts()
    import frechet_audio_distance as package

    print(json.dumps(of_frechet_audio_distance(package, folder) | of_laion_clap(package, folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
