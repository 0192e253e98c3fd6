"""musicnn in torch: stored outputs, librosa's mel, window layout, and the embedding cache."""

import librosa
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from ditto.types import UserError
from eval import embeddings, musicnn
from eval.convert_musicnn import golden_input, to_state
from eval.embedders.musicnn import Musicnn
from eval.text import heard


def wave(seconds=5.944, rate=22_050, seed=0):
    samples = int(seconds * rate)
    tone = np.sin(2 * np.pi * 220 * np.arange(samples) / rate)
    return (0.3 * tone + 0.05 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("name", ["mtt", "msd"])
def test_golden_values(name):
    model, golden = musicnn.load(name), load_file(musicnn.WEIGHTS / f"musicnn_{name}_golden.safetensors")
    embedding = model(golden_input())
    torch.testing.assert_close(embedding, golden["embedding"], rtol=0, atol=1e-4)
    torch.testing.assert_close(model.logits(embedding), golden["logits"], rtol=0, atol=1e-4)
    assert len(musicnn.tag_names(name)) == golden["logits"].shape[1] == 50


def test_mel_is_librosas():
    audio = wave(2.0, 16_000)
    power = librosa.feature.melspectrogram(y=audio, sr=16_000, hop_length=256, n_fft=512, n_mels=96)
    ours = musicnn.log_mel(torch.from_numpy(audio)[None])[0]
    np.testing.assert_allclose(ours, np.log10(10_000 * power + 1).T, atol=1e-4)


def test_windows_of_a_clip():
    assert Musicnn()(wave(), 22_050).shape == (3, 200)
    assert musicnn.windows(torch.zeros(100, 96)).shape == (1, 187, 96)
    assert musicnn.windows(torch.arange(400.0)[:, None])[1, 0, 0] == 92


def test_differentiable_and_grad_mode_unchanged():
    Musicnn()(wave(1.0), 22_050)
    assert torch.is_grad_enabled()
    x = torch.rand(1, 187, 96, requires_grad=True)
    musicnn.load("msd")(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_tags_are_probabilities():
    tags = musicnn.tag_probabilities(Musicnn()(wave(), 22_050))
    assert tags.shape == (3, 50)
    assert ((tags > 0) & (tags < 1)).all()


def test_conversion_names_every_weight():
    """`to_state` fills exactly the module's state dict (shapes of the package's tensors are faked here)."""

    class Fake(dict):
        def __getitem__(self, key):
            kernel = (1, 1) if key.startswith("dense") else (1, 1, 1, 1)
            return np.zeros(kernel if key.endswith("kernel") else (1,), np.float32)

    assert set(to_state(Fake())) == set(musicnn.MusicNN().state_dict())


def test_cache_is_by_content(tmp_path, monkeypatch):
    first = embeddings.embed_clips([("a", wave(), 22_050)], tmp_path)
    monkeypatch.setattr(Musicnn, "embed", lambda *_: pytest.fail("the cache was not used"))
    again = embeddings.embed_clips([("another name", wave(), 22_050)], tmp_path)
    np.testing.assert_array_equal(first["a"], again["another name"])
    assert embeddings.wave_hash(wave(), 22_050) != embeddings.wave_hash(wave(), 16_000)


def test_shipped_weights_keep_their_cache():
    """Thousands of embeddings lie under this name: another hash would compute them all again."""
    assert Musicnn().fingerprint == "musicnn_msd-0354a993fee8"
    assert Musicnn("mtt").fingerprint.startswith("musicnn_mtt-")


def test_batches_change_nothing(tmp_path):
    """Clips of unequal length, one at a time, together, and in windows of another batch."""
    clips = [(str(k), wave(1.0 + 2.3 * k, seed=k), 22_050) for k in range(3)]
    alone = [Musicnn()(audio, rate) for _, audio, rate in clips]
    assert [len(values) for values in alone] == [1, 1, 2]
    for batch in (1, 3, 16):
        for ours, theirs in zip(Musicnn(batch=batch).embed(clips), alone, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    streamed = dict(embeddings.stream(iter(clips), tmp_path))
    assert list(streamed) == ["0", "1", "2"]
    np.testing.assert_allclose(streamed["2"], alone[2], rtol=0, atol=1e-5)


def test_two_clips_of_one_name(tmp_path):
    with pytest.raises(UserError, match="two clips are called a"):
        embeddings.embed_clips([("a", wave(1.0), 22_050), ("a", wave(1.0), 22_050)], tmp_path)


@pytest.mark.parametrize(
    ("bad", "says"),
    [(np.zeros((2, 9000)), "mono"), (np.zeros(100), "at least 0.5 s"), (np.full(22_050, np.nan), "NaN")],
)
def test_bad_clip_is_named(tmp_path, bad, says):
    with pytest.raises(UserError, match=f"clip broken: .*{says}"):
        embeddings.embed_clips([("broken", bad, 22_050)], tmp_path)


def test_files(tmp_path):
    soundfile.write(tmp_path / "x.flac", np.stack([wave(1.0)] * 2, 1), 22_050)
    clip_id, audio, rate = next(embeddings.read_files([tmp_path / "x.flac"]))
    assert (clip_id, audio.shape, rate) == ("x", (22_050,), 22_050)
    (tmp_path / "y.wav").write_bytes(b"not audio")
    with pytest.raises(UserError, match=r"y\.wav"):
        list(embeddings.read_files([tmp_path / "y.wav"]))


def test_a_window_is_heard_once_for_the_embedding_and_the_text_score(monkeypatch):
    sound, rows = wave(seed=7), []
    pooled = musicnn.MusicNN.pooled
    monkeypatch.setattr(musicnn.MusicNN, "pooled", lambda self, x: rows.append(len(x)) or pooled(self, x))
    first = Musicnn()(sound, 22_050)
    heard.hear(sound, 22_050)
    np.testing.assert_array_equal(Musicnn()(sound, 22_050), first)
    assert rows == [3]
    Musicnn()(0.5 * sound, 22_050)
    Musicnn("mtt")(sound, 22_050)
    assert rows == [3, 3, 3]  # another sound, another network


def test_what_was_heard_is_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(musicnn, "_POOLED_SIZE", 4)
    for seed in range(3):
        Musicnn()(wave(seed=seed), 22_050)
    assert len(musicnn._POOLED) == 4
