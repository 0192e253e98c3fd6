"""The offline text judge: what it hears and reads, training on made-up features, and the shipped weights."""

import dataclasses
import sys

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.data.examples import EXAMPLES, load_examples
from ditto.data.labels import load_pieces
from ditto.run import CONF
from ditto.types import UserError
from eval.text import heard, recall, train, words
from eval.text.captioned import Captioned, Captions, read_captions
from eval.text.model import TextAudio
from eval.text.text_audio import TextAudioJudge

RATE = 22_050


def clicks(bpm, seconds=5.944, pitch=440.0):
    """A tone that starts again with every beat."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * pitch * time) * np.exp(-8 * (time % (60 / bpm)))).astype(np.float32)


def group(features, name):
    start = sum(size for key, size in list(heard.GROUPS.items())[: list(heard.GROUPS).index(name)])
    return features[start : start + heard.GROUPS[name]]


def test_hears_tempo_pitch_and_level():
    features = heard.hear(clicks(90), RATE)
    assert features.shape == (heard.SIZE,)
    np.testing.assert_array_equal(features, heard.hear(clicks(90), RATE))
    tempi = np.exp2(np.linspace(np.log2(40), np.log2(320), heard.TEMPI))
    for bpm in (70, 90, 120):
        periods = group(heard.hear(clicks(bpm), RATE), "rhythm")[: heard.TEMPI]
        above = tempi > 60  # half the tempo fits as well
        assert tempi[above][periods[above].argmax()] == pytest.approx(bpm, rel=0.02)
    assert group(features, "pitch").argmax() == 9  # A, counted from C
    softer = group(heard.hear(0.1 * clicks(90), RATE), "level")
    assert group(features, "level")[2] - softer[2] == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("wave", [clicks(100, 0.5), np.zeros(RATE, np.float32), clicks(100, 20.0)])
def test_hears_short_silent_and_long_sound(wave):
    assert np.isfinite(heard.hear(wave, RATE)).all()


def test_reads_the_tempo():
    rows = words.tempo(["jazz in C, 120 bpm", "A song at 120 beats per minute", "fast jazz", "a song at 60 BPM"])
    torch.testing.assert_close(rows[0], rows[1])
    assert rows[2].abs().max() == 0
    assert rows[0, :-1].argmax() > rows[3, :-1].argmax()
    assert words.read(["jazz"]).shape == (1, sum(words.GROUPS.values()))


def made_up(n, seed):
    """Clips whose features say genre and mood with noise, and captions read as the same two words."""
    generator = np.random.default_rng(seed)
    pieces, features = [], []
    template = load_pieces("train")[0]
    for row in range(n):
        kind, feeling = row % 6, row // 6 % 4
        name = f"kind{kind} mood{feeling}"
        pieces.append(dataclasses.replace(template, piece_id=f"p{seed}-{row}", captions=(f"{name} song", name)))
        clean = np.concatenate([np.eye(6)[kind], np.eye(4)[feeling], np.zeros(20)])
        features.append(3 * clean + generator.normal(size=30))
    return Captioned(torch.tensor(np.array(features), dtype=torch.float32), tuple(pieces))


def made_up_captions(data):
    texts = sorted({caption for piece in data.pieces for caption in piece.captions})
    spots = [(int(text[4]), 6 + int(text[10]), 10 + ("song" in text)) for text in texts]
    return Captions(
        torch.stack([torch.eye(12)[list(spot)].sum(0) for spot in spots]), {t: k for k, t in enumerate(texts)}
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(heard, "GROUPS", {"all": 30})
    monkeypatch.setattr(words, "GROUPS", {"all": 12})
    return train.TrainOptions(steps=60, batch=48, hidden=32, learning_rate=5e-3)


def test_training_improves_recall(small):
    data, unseen = made_up(96, 0), made_up(96, 1)
    captions = made_up_captions(data)
    before = TextAudio(heard.GROUPS, words.GROUPS, 32)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    after = train.fit(data, captions, small, dropout=0.1)
    assert torch.rand(1) == expected, "training changed the seed of the process"
    name = "text_to_audio_recall_at_10"
    found = train.retrieval(after, unseen, captions)
    assert found["n"] == 24
    assert found["text_to_audio_recall_at_1"] > 0.5
    assert found[name] > 0.9 > 0.7 > train.retrieval(before, unseen, captions)[name]
    again = train.fit(data, captions, small, dropout=0.1)
    torch.testing.assert_close(again.state_dict(), after.state_dict())


def test_equal_captions_are_no_negatives(small):
    data = made_up(96, 0)
    audio, text, also = train.Batches(data, made_up_captions(data), small).draw()
    assert len(audio) == len(text) == 48
    assert also.any()
    assert not also.diagonal().any()
    model = TextAudio(heard.GROUPS, words.GROUPS, 32)
    assert model.loss(audio, text, also) < model.loss(audio, text, torch.zeros_like(also))


def test_recall_by_hand():
    scores = np.array([[3.0, 1, 2], [5, 4, 0], [0, 0, 0]])
    assert recall.recall(scores, 1) == pytest.approx(1 / 3)  # ties count against
    assert recall.recall(scores, 2) == pytest.approx(2 / 3)
    assert recall.recalls(np.eye(20))["audio_to_text_recall_at_1"] == 1
    assert recall.recalls(np.eye(20))["chance_at_10"] == 0.5


def test_one_lie_changes_one_thing():
    pieces = load_pieces("test")[:30]
    lies = recall.one_lie(pieces)
    assert set(lies["lead instrument"]) == {row for row, piece in enumerate(pieces) if piece.lead}
    for what in ("genre", "mood", "tempo x 1.5", "mode", "drums"):
        assert len(lies[what]) == 30
        assert all(true != false for true, false in lies[what].values()), what
    assert all(0 < int(false.split()[-4]) <= 250 for _, false in lies["tempo x 2"].values())

    def knows_all(texts, rows):
        return np.array([text in pieces[row].captions for text, row in zip(texts, rows, strict=True)])

    assert recall.pairwise(knows_all, lies)["genre"] == 1
    assert recall.pairwise(lambda texts, rows: np.zeros(len(rows)), lies)["mode"] == 0.5


@pytest.fixture(scope="module")
def judge():
    return TextAudioJudge(cache=None)


@pytest.fixture(scope="module")
def examples():
    rows = load_examples()
    sounds = [soundfile.read(EXAMPLES / row["file"], dtype="float32") for row in rows]
    return [row["prompt"] for row in rows], [(row["piece_id"], *sound) for row, sound in zip(rows, sounds, strict=True)]


def test_truth_beats_shuffled_captions(judge, examples):
    prompts, clips = examples
    true = judge.scores(prompts, clips)
    shuffled = [judge.scores(prompts[k:] + prompts[:k], clips).mean() for k in range(1, len(prompts))]
    assert true.mean() > 0.2 + max(shuffled)
    np.testing.assert_allclose(judge.scores(prompts[::-1], clips[::-1])[::-1], true, atol=1e-5)
    np.testing.assert_allclose(judge.scores(prompts[:1], clips[:1]), true[:1], atol=1e-5)
    assert np.abs(true).max() <= 1
    assert torch.is_grad_enabled()


def test_column_is_not_claps(judge):
    assert judge.column == "text_audio_score"
    assert "not CLAP" in judge.about["judge"]
    assert float(judge.about["test_text_to_audio_recall_at_10"]) > 0.5
    assert all(isinstance(value, str) for value in judge.about.values())


def test_refuses_other_features(judge, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"no text-audio weights .*eval\.text\.train"):
        TextAudioJudge(str(tmp_path / "none.safetensors"))
    monkeypatch.setattr(heard, "VERSION", "2")
    with pytest.raises(UserError, match="other features"):
        TextAudioJudge()


def test_train_command(small, monkeypatch, tmp_path, capsys):
    data = made_up(48, 0)
    data = Captioned(data.features, tuple(dataclasses.replace(p, captions=(p.captions[0],) * 6) for p in data.pieces))
    monkeypatch.setattr(train, "hear_split", lambda split, n, seconds, cache: data)
    monkeypatch.setattr(words, "read", lambda texts: torch.ones(len(texts), 12))
    monkeypatch.setattr(sys, "argv", ["train", "steps=2", f"out={tmp_path / 'w.safetensors'}", f"cache={tmp_path}"])
    train.main()
    assert "test_text_to_audio_recall_at_10" in capsys.readouterr().out
    kept = TextAudio.load(tmp_path / "w.safetensors")
    assert kept.about["test_n"] == "24"
    assert read_captions(data, (0,), tmp_path).features.shape == (24, 12)
    monkeypatch.setattr(sys, "argv", ["train", "stepz=2"])
    with pytest.raises(UserError, match="options: n, n_val"):
        train.main()


def test_configuration(examples):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = OmegaConf.to_container(compose("evaluator/text/text_audio").evaluator.text)
    made = build({**cfg, "cache": None}, "evaluator.text")
    assert made.scores(examples[0][:1], examples[1][:1]).shape == (1,)
