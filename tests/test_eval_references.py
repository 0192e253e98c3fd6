"""What FAD is measured against: held-out clips, a folder, FMA-Pop's statistics; bad files are named."""

import sys
import types

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.run import CONF
from ditto.types import UserError
from eval import references
from eval.embedders.base import WindowEmbedder, cut
from eval.embeddings import embed_clips, read_files
from eval.fad import Statistics, fad, frechet_distance
from eval.references import FmaPop, Folder, HeldOutClips


class Levels(WindowEmbedder):
    """Three moments of windows of a tenth of a second: an embedding without a network."""

    name, fingerprint, dimension, sample_rate, fma_pop = "levels 3-d", "levels-1", 3, 8000, "vggish"

    def windows(self, wave_N):
        import torch

        return torch.from_numpy(np.stack(cut(wave_N, 800, 800)))

    def network(self, windows):
        import torch

        return torch.stack([windows.pow(k).mean(1) for k in (1, 2, 3)], 1)


@pytest.fixture
def folder(tmp_path):
    """Six files of unequal length and level, one in a folder below."""
    rng = np.random.default_rng(0)
    (tmp_path / "music/deep").mkdir(parents=True)
    for k, name in enumerate(("a.wav", "b.flac", "c.ogg", "d.wav", "deep/a.wav", "f.WAV")):
        soundfile.write(tmp_path / "music" / name, 0.1 * (k + 1) * rng.uniform(-1, 1, 8000 + 800 * k), 8000)
    (tmp_path / "music/notes.txt").write_text("not sound")
    return tmp_path / "music"


def test_folder_is_all_its_sound_in_any_order(folder, tmp_path):
    reference = Folder(str(folder))(Levels(), tmp_path / "cache")
    assert str(reference) == "6 files of music (levels 3-d)"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt"]
    clips = [Levels()(wave, rate) for _, wave, rate in read_files(files[::-1])]
    assert reference.statistics.n == sum(len(clip) for clip in clips)
    assert frechet_distance(Statistics.of(clips), reference.statistics) == pytest.approx(0, abs=1e-12)


def test_same_sound_under_other_names_is_the_same_reference(folder, tmp_path):
    before = Folder(str(folder))(Levels(), tmp_path / "cache")
    for k, file in enumerate(sorted(folder.rglob("*.wav"))):
        file.rename(folder / f"{9 - k}.wav")
    after = Folder(str(folder))(Levels(), tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 6  # by content: nothing was embedded twice
    np.testing.assert_allclose(after.statistics.covariance, before.statistics.covariance, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", ["nan", "cut", "text"])
def test_a_bad_file_is_named(folder, tmp_path, kind):
    bad = folder / "song12.wav"
    soundfile.write(bad, np.full(8000, np.nan if kind == "nan" else 0.1), 8000, subtype="FLOAT")
    if kind != "nan":
        bad.write_bytes(bad.read_bytes()[:5000] if kind == "cut" else b"no sound")
    with pytest.raises(UserError, match=r"song12\.wav"):
        Folder(str(folder))(Levels(), tmp_path / "cache")
    with pytest.raises(UserError, match=r"song12\.wav"):
        embed_clips(read_files([bad]), tmp_path / "cache", Levels())


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"evaluator\.reference\.path"):
        Folder(str(tmp_path))(Levels(), tmp_path / "cache")


def test_held_out_clips_are_the_first_n(monkeypatch, tmp_path):
    class Excerpt:
        def __init__(self, k):
            self.k = k

        def read(self):
            noise = 0.1 * np.random.default_rng(self.k).normal(size=8000)
            return None if self.k == 1 else (str(self.k), noise.astype(np.float32), 8000)  # one is too quiet

    monkeypatch.setattr(references, "load_excerpts", lambda split, seconds, root: [Excerpt(k) for k in range(6)])
    reference = HeldOutClips(3, "val", str(tmp_path), seconds=1.0)(Levels(), tmp_path / "cache")
    assert (str(reference), reference.statistics.n) == ("3 val clips (levels 3-d)", 30)
    with pytest.raises(UserError, match="only 5 clips where 6"):
        HeldOutClips(6, "val", str(tmp_path))(Levels(), tmp_path / "cache")


@pytest.fixture
def fma_pop(tmp_path):
    """A file as fadtk ships it, of smaller networks."""
    rng = np.random.default_rng(0)
    values = {}
    for name, size in (("vggish", 3), ("encodec-emb", 5)):
        samples = rng.normal(size=(50, size))
        values |= {f"{name}.mu": samples.mean(0), f"{name}.cov": np.cov(samples, rowvar=False)}
    np.savez(tmp_path / "fma_pop.npz", **values)
    return tmp_path / "fma_pop.npz", values


def test_fma_pop_is_the_mean_and_covariance_of_its_file(fma_pop, tmp_path):
    path, values = fma_pop
    reference = FmaPop(str(path))(Levels(), tmp_path)
    np.testing.assert_allclose(reference.statistics.covariance, values["vggish.cov"], rtol=1e-12)
    assert "FMA-Pop, 4839 tracks" in str(reference)
    sample = [np.random.default_rng(1).normal(size=(50, 3))]
    shifted = [sample[0] + reference.statistics.mean]
    assert fad(shifted, reference.statistics) != fad(sample, reference.statistics)


def test_fma_pop_says_what_does_not_fit(fma_pop, tmp_path, monkeypatch):
    embedder, path = Levels(), str(fma_pop[0])
    monkeypatch.setattr(Levels, "fma_pop", None)
    with pytest.raises(UserError, match=r"evaluator/embedding=vggish.*encodec-emb, vggish"):
        FmaPop(path)(embedder, tmp_path)
    monkeypatch.setattr(Levels, "fma_pop", "encodec-emb")
    with pytest.raises(UserError, match="has 5 dimensions, levels 3-d has 3"):
        FmaPop(path)(embedder, tmp_path)
    with pytest.raises(UserError, match=r"pip install --no-deps fadtk.*evaluator\.reference\.path"):
        FmaPop(str(tmp_path / "none.npz"))(embedder, tmp_path)


def test_fma_pop_is_found_in_the_package_without_importing_it(fma_pop, tmp_path, monkeypatch):
    package = tmp_path / "fadtk"
    (package / "stats").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    fma_pop[0].rename(package / "stats/fma_pop.npz")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fadtk", raising=False)
    assert FmaPop()(Levels(), tmp_path).statistics.dimension == 3
    monkeypatch.setattr(references.importlib.util, "find_spec", lambda name: types.SimpleNamespace(origin=None))
    with pytest.raises(UserError, match="--no-deps fadtk"):
        FmaPop()(Levels(), tmp_path)


@pytest.mark.parametrize(("name", "made"), [("test_clips", HeldOutClips), ("folder", Folder), ("fma_pop", FmaPop)])
def test_every_configuration_can_be_made(name, made):
    overrides = [f"evaluator/reference={name}", *(["evaluator.reference.path=x"] if name == "folder" else [])]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", overrides)
    assert isinstance(build(OmegaConf.to_container(cfg.evaluator.reference, resolve=True), name), made)


def test_the_list_above_is_complete():
    names = {path.stem for path in (CONF / "evaluator/reference").glob("*.yaml")}
    assert names == {"test_clips", "folder", "fma_pop"}
