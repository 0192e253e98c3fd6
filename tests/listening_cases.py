"""Made-up runs with sound for the listening test: three tasks, three methods each, two clips of 1.5 s."""

import numpy as np
import soundfile

from tests.run_cases import options, write_run

RATE, SECONDS = 22_050, 1.5
METHODS = {
    "intensity": ("ditto", "controlnet", "freedom"),
    "melody": ("ditto", "controlnet", "freedom"),
    "outpainting": ("ditto", "multidiffusion_50", "freedom"),
}


def write_runs(folder, tasks=METHODS, clips=2, without=()):
    """A run directory of each pair (task, method), its name "<task>-<method>"; `without`: such names to leave out."""
    for task in tasks:
        for number, method in enumerate(METHODS[task]):
            name = f"{task}-{method}"
            if name not in without:
                write_run(folder, name, "methods", {"task": task, "method": method}, [{"loss": 1.0}] * clips)
                _write_sound(folder / name / "audio", clips, number, stitched=task == "outpainting")
    return folder


def _write_sound(audio, clips, number, stitched):
    audio.mkdir()
    for k in range(clips):
        wave = 0.1 * np.random.default_rng([k, number]).normal(size=round(SECONDS * RATE))
        clip = f"{k:03d}_song_s{k}"
        if stitched:
            soundfile.write(audio / f"{clip}.raw.flac", wave, RATE)
            wave = np.concatenate([wave, wave])[: round(2 * SECONDS * RATE - 0.5 * RATE)]
        soundfile.write(audio / f"{clip}.flac", wave, RATE)


def listening(folder, *overrides):
    """The configuration of the listening commands on these runs; `out` and results are beside them."""
    return options("listening", folder, f"out={folder}/listening", "n=2", "bootstrap=200", *overrides)
