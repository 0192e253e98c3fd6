"""The embedders behind one protocol: a tiny random ClapModel, a stub of frechet_audio_distance, and what is missing.

The real frechet_audio_distance: tests/test_eval_judges.py.
"""

import sys
import types

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.run import CONF
from ditto.types import UserError
from eval import embeddings, musicnn
from eval.embedders.base import cut, resampled
from eval.embedders.clap import Clap
from eval.embedders.musicnn import Musicnn
from eval.embedders.packaged import Packaged

CHOICES = sorted(path.stem for path in (CONF / "evaluator/embedding").glob("*.yaml"))
PACKAGED = {"vggish": 128, "pann": 2048, "fad_clap": 512, "encodec": 128}


def wave(seed, seconds=1.0, rate=22_050):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return noise.astype(np.float32)


def clips():
    """The last one is longer than the tiny CLAP's window of 2 s."""
    return [(f"clip{k}", wave(k, seconds), 22_050) for k, seconds in enumerate((1.0, 2.0, 4.7))]


def chosen(name, *overrides):
    """The configuration of an embedder, in this process: in the judges' own, tests/test_eval_judges.py."""
    overrides = [*overrides, "evaluator.embedding.python=null"] if name in PACKAGED else overrides
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"evaluator/embedding={name}", *overrides])
    return OmegaConf.to_container(cfg.evaluator.embedding, resolve=True)


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def checkpoint(request, tmp_path_factory):
    """A random ClapModel of a few thousand weights, saved as a checkpoint folder."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    path = tmp_path_factory.mktemp("clap")
    text = {
        "vocab_size": 10, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "projection_dim": 8,
    }  # fmt: skip
    audio = {
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "patch_embeds_hidden_size": 8,
        "depths": [1, 1], "num_attention_heads": [1, 2], "window_size": 4, "hidden_size": 16, "projection_dim": 8,
        "enable_fusion": request.param, "aff_block_r": 2,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(path)
    extractor = ClapFeatureExtractor(feature_size=16, sampling_rate=16_000, max_length_s=2, frequency_max=8_000)
    extractor.save_pretrained(path)
    return str(path)


class Network(torch.nn.Module):
    """What the stub package loads."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))


class Package:
    """A stub of FrechetAudioDistance with the real one's manners; an embedding says how long and loud a window was."""

    made: tuple = ()

    def __init__(self, ckpt_dir=None, model_name="vggish", submodel_name="630k-audioset", sample_rate=16000, **_):
        Package.made = (model_name, submodel_name, sample_rate)
        torch.set_grad_enabled(False)
        torch.hub.set_dir("elsewhere")
        np.random.seed(0)
        self.dimension = {"vggish": 128, "pann": 2048, "clap": 512, "encodec": 128}[model_name]
        self.model, self.flat = Network(), model_name == "pann"

    def get_embeddings(self, x, sr):
        torch.set_grad_enabled(True)
        print("[Frechet Audio Distance] talks")
        values = np.full((2, self.dimension), x[0].std()) + len(x[0]) / sr
        return values[0] if self.flat else values


@pytest.fixture
def package(monkeypatch):
    monkeypatch.setitem(sys.modules, "frechet_audio_distance", types.SimpleNamespace(FrechetAudioDistance=Package))
    return monkeypatch


def process_state():
    return (
        torch.is_grad_enabled(),
        torch.hub.get_dir(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def keeps_the_protocol_and_the_process(config, cache):
    before = process_state()
    embedder = build(config, "embedding")
    found = embeddings.embed_clips(clips(), cache, embedder)
    assert process_state() == before
    with torch.no_grad():
        assert embedder(wave(0), 22_050).dtype == np.float32
        assert not torch.is_grad_enabled()
    assert {values.shape[1] for values in found.values()} == {embedder.dimension}
    assert f"{embedder.dimension}-d" in embedder.name
    assert f"{embedder.sample_rate / 1000:g} kHz" in embedder.name
    assert [path.name for path in cache.iterdir()] == [embedder.fingerprint]


@pytest.mark.parametrize("name", ["musicnn", "musicnn_mtt", *PACKAGED])
def test_every_embedder_keeps_the_protocol_and_the_process(name, package, tmp_path):
    musicnn.load.cache_clear()
    keeps_the_protocol_and_the_process(chosen(name), tmp_path)


def test_clap_keeps_the_protocol_and_the_process(checkpoint, tmp_path):
    keeps_the_protocol_and_the_process(chosen("clap", f"evaluator.embedding.checkpoint={checkpoint}"), tmp_path)


def test_the_list_above_is_complete():
    assert set(CHOICES) == {"musicnn", "musicnn_mtt", "clap", *PACKAGED}


def test_clap_is_repeatable_whatever_the_batch_the_order_and_the_seed(checkpoint):
    """The extractor's random crop and random "longer" mark would change the long and the last clip."""
    embedder = Clap(checkpoint, hop_seconds=2.0)
    first = embedder.embed(clips())
    np.random.seed(5)
    again = Clap(checkpoint, hop_seconds=2.0, batch=1).embed(clips()[::-1])[::-1]
    assert [len(values) for values in first] == [1, 1, 3]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(first[2], axis=1), 1, rtol=1e-5)
    assert np.abs(first[0] - first[2][0]).max() > 1e-4


def test_clap_is_transformers_own_embedding(checkpoint):
    from transformers import ClapFeatureExtractor, ClapModel

    embedder = Clap(checkpoint)
    sound = wave(0, 2.0, 16_000)
    inputs = ClapFeatureExtractor.from_pretrained(checkpoint)(
        sound, truncation=embedder.truncation, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        out = ClapModel.from_pretrained(checkpoint).get_audio_features(
            input_features=inputs["input_features"].float(), is_longer=torch.zeros(1, 1, dtype=torch.bool)
        )
    np.testing.assert_allclose(embedder(sound, 16_000), out.pooler_output.numpy(), atol=1e-5)


def test_other_settings_or_weights_are_another_cache(checkpoint):
    one = Clap(checkpoint)
    assert Clap(checkpoint).fingerprint == one.fingerprint != Clap(checkpoint, hop_seconds=1.0).fingerprint
    assert Musicnn("msd").fingerprint != Musicnn("mtt").fingerprint


def test_packaged_windows_go_in_alone(package):
    embedder = Packaged("pann", 16_000, 2048, "w", window_seconds=2.0, hop_seconds=1.0, python=None)
    long = np.concatenate([np.zeros(16_000), wave(1, 2.0, 16_000)]).astype(np.float32)
    values = embedder(long, 16_000)  # a PANN embedding comes flat
    assert values.shape == (2, 2048)
    np.testing.assert_allclose(values[:, 0], [long[:32_000].std() + 2, long[16_000:].std() + 2], rtol=1e-5)
    assert Package.made == ("pann", "630k-audioset", 16_000)
    build(chosen("fad_clap"), "x")
    assert Package.made == ("clap", "music_audioset", 48_000)


def swallow(self, x, sr):
    """As the package does with any exception: print, then join an empty list."""
    print("[Frechet Audio Distance] get_embeddings throw an exception: out of tune")
    return np.concatenate([], axis=0)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (swallow, "out of tune"),
        (lambda *_: -1, "no embedding of 128 dimensions"),
        (lambda *_: np.zeros((0, 128)), "no embedding of 128 dimensions"),
        (lambda *_: np.full((2, 128), np.nan), "no finite embedding"),
    ],
)
def test_a_failure_of_the_package_never_becomes_a_number(package, tmp_path, broken, says):
    embedder = build(chosen("vggish"), "x")
    package.setattr(Package, "get_embeddings", broken)
    with pytest.raises(UserError, match=f"clip song7: .*{says}"):
        embeddings.embed_clips([("song7", wave(0), 22_050)], tmp_path, embedder)
    assert torch.is_grad_enabled()
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("name", PACKAGED)
def test_a_missing_package_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "frechet_audio_distance", None)
    with pytest.raises(UserError, match=r"pip install 'ditto-bench\[fad\]'"):
        build(chosen(name), name)


@pytest.mark.parametrize(
    ("name", "file"), [("vggish", "vggish-10086976"), ("pann", "Cnn14_16k"), ("encodec", "24khz-d7")]
)
def test_missing_weights_are_named(name, file, package, tmp_path):
    def offline(*_, **__):
        raise OSError("no route to host")

    package.setattr(Package, "__init__", offline)
    with pytest.raises(UserError, match=rf"no route to host.*{file}.*{tmp_path.name}"):
        build(chosen(name, f"evaluator.embedding.checkpoints={tmp_path}"), name)
    assert torch.is_grad_enabled()


def test_missing_clap_weights_are_named(tmp_path):
    with pytest.raises(UserError, match=r"hf download .*evaluator\.embedding\.checkpoint"):
        Clap(str(tmp_path / "nothing"))


def test_unknown_musicnn_weights():
    with pytest.raises(UserError, match="choose one of msd, mtt"):
        Musicnn("million")


def test_windows_cover_the_wave():
    x = np.arange(10)
    assert [w.tolist() for w in cut(x, 4, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert [w.tolist() for w in cut(x, 12, 4)] == [x.tolist()]
    assert len(cut(x, 10, 3)) == 1
    assert len(resampled(("a", wave(0, 1.0, 22_050), 22_050), 16_000)) == 16_000
