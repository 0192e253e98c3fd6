"""The CLAP adapters: a tiny random ClapModel, a stub of laion_clap (tests/test_eval_judges.py has the real one)."""

import hashlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.run import CONF
from ditto.types import UserError
from eval.text import laion, windows
from eval.text.clap import ClapJudge
from eval.text.vocabulary import check_tokenizer

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "a", "jazz", "rock", "happy", "sad", "song"]
PROMPTS = ["a happy jazz song", "a sad rock song", "jazz"]


def wave(seed, seconds=1.0, rate=22_050):
    generator = np.random.default_rng(seed)
    return np.clip(0.2 * generator.standard_normal(round(seconds * rate)), -1, 1).astype(np.float32)


def clips(rate=22_050):
    """The last one is longer than the tiny model's window of 2 s."""
    return [(f"clip{k}", wave(k, seconds, rate), rate) for k, seconds in enumerate((1.0, 2.0, 4.7))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random ClapModel of a few thousand weights, saved as a checkpoint folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("clap")
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 20, "projection_dim": 8,
    }  # fmt: skip
    audio = {
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "patch_embeds_hidden_size": 8,
        "depths": [1, 1], "num_attention_heads": [1, 2], "window_size": 4, "hidden_size": 16, "projection_dim": 8,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(path)
    extractor = ClapFeatureExtractor(feature_size=16, sampling_rate=16_000, max_length_s=2, frequency_max=8_000)
    extractor.save_pretrained(path)
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def judge(folder):
    return ClapJudge(str(folder), cache=None)


def test_scores_do_not_depend_on_batch_or_order(judge):
    scores = judge.scores(PROMPTS, clips())
    assert scores.shape == (3,)
    assert np.ptp(scores) > 1e-4
    alone = [judge.scores([prompt], [clip])[0] for prompt, clip in zip(PROMPTS, clips(), strict=True)]
    np.testing.assert_array_equal(scores, alone)
    np.testing.assert_array_equal(scores[::-1], judge.scores(PROMPTS[::-1], clips()[::-1]))
    assert judge.scores([], []).shape == (0,)


def test_a_long_clip_is_heard_to_its_end(judge):
    name, sound, rate = clips()[2]
    changed = sound.copy()
    changed[-rate // 2 :] = 0
    assert judge.scores(PROMPTS[:1], [(name, sound, rate)]) != judge.scores(PROMPTS[:1], [(name, changed, rate)])


def test_process_is_as_before(folder):
    np.random.seed(3)
    expected = np.random.RandomState(3).rand()
    with torch.enable_grad():
        ClapJudge(str(folder), cache=None).scores(PROMPTS, clips())
        assert torch.is_grad_enabled()
    assert np.random.rand() == expected


def test_about_and_cache(folder, tmp_path):
    first = ClapJudge(str(folder), cache=str(tmp_path))
    scores = first.scores(PROMPTS, clips())
    assert len(list(tmp_path.rglob("*.npy"))) == 3
    again = ClapJudge(str(folder), cache=str(tmp_path))
    again.embed_clip = None  # nothing is computed again
    np.testing.assert_allclose(again.scores(PROMPTS, clips()), scores, atol=1e-6)
    other = ClapJudge(str(folder), int16=False, cache=str(tmp_path))
    assert other.fingerprint != first.fingerprint
    assert (first.about["quantisation"], other.about["quantisation"]) == ("int16", "none")
    assert len(first.about["hash"]) == 12
    assert first.column == "clap_score"


def test_checkpoint_errors(folder, tmp_path):
    with pytest.raises(UserError, match="hf download"):
        ClapJudge(str(tmp_path / "missing"))
    for file in folder.iterdir():
        if "token" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=r"tokenizer|checkpoint"):
        ClapJudge(str(tmp_path))
    with pytest.raises(UserError, match="knows 5 of 50265"):
        check_tokenizer(5, 50_265, "roberta-base")


def test_bad_clips_are_named(judge):
    sound = wave(0)
    broken = sound.copy()
    broken[5] = np.nan
    with pytest.raises(UserError, match=r"clip b.*NaN"):
        judge.scores(["jazz", "rock"], [("a", sound, 22_050), ("b", broken, 22_050)])
    with pytest.raises(UserError, match=r"clip a: a mono wave"):
        judge.scores(["jazz"], [("a", sound[:99], 22_050)])
    with pytest.raises(UserError, match="2 prompts for 1 clips"):
        judge.scores(["jazz", "rock"], [("a", sound, 22_050)])
    with pytest.raises(UserError, match="empty prompt"):
        judge.scores([" "], [("a", sound, 22_050)])


def test_windows_cover_the_wave():
    sound = np.arange(47.0)
    parts = windows.cut(sound, 20)
    assert [len(part) for part in parts] == [20, 20, 20]
    assert parts[0][0] == 0
    assert parts[-1][-1] == 46
    assert set(np.concatenate(parts)) == set(sound)
    assert windows.cut(sound, 47)[0] is sound


def test_rounding_is_int16():
    values = np.array([0.5, -0.5, 1.2, 1e-6, -1.0])
    np.testing.assert_allclose(windows.rounded(values) * 32767, [16383, -16383, 32767, 0, -32767], atol=2e-3)


class StubModule:
    """What laion_clap.CLAP_Module promises, and its bad habits: seeds, grad mode, random crops, silent tokenizer."""

    known = 50_265

    def __init__(self, enable_fusion, amodel, device):
        assert (enable_fusion, amodel) == (False, "HTSAT-base")
        torch.set_grad_enabled(False)
        np.random.seed(0)
        self.tokenize = range(self.known)

    def load_ckpt(self, ckpt, verbose):
        self.weights = Path(ckpt).read_bytes()

    def eval(self):
        return self

    def requires_grad_(self, _):
        return self

    def get_text_embedding(self, x):
        return np.stack([np.eye(512)[len(text)] + 0.1 for text in x])

    def get_audio_embedding_from_data(self, x):
        assert x.shape[1] <= 480_000, "longer sound is cropped at random"
        assert x.dtype == np.float32
        return np.stack([np.eye(512)[int(1000 * np.abs(row).mean()) % 512] + 0.1 for row in x])


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "laion_clap", types.SimpleNamespace(CLAP_Module=StubModule))
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    return str(path)


def test_laion_clap(checkpoint):
    with torch.enable_grad():
        judge = laion.LaionClapJudge(checkpoint, trust=True, cache=None, python=None)
        assert torch.is_grad_enabled()
    sounds = [("a", wave(0), 22_050), ("b", 2 * wave(1, 11.0), 22_050), ("c", wave(2, rate=48_000), 48_000)]
    scores = judge.scores(PROMPTS, sounds)
    assert np.isfinite(scores).all()
    assert judge.scores(PROMPTS[1:2], sounds[1:2])[0] == scores[1]
    assert judge.about["hash"] == hashlib.sha256(b"weights").hexdigest()[:12]
    assert judge.column == "clap_score"


def test_laion_clap_errors(checkpoint, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"not the paper's .*trust=true"):
        laion.LaionClapJudge(checkpoint)
    with pytest.raises(UserError, match=r"2\.35 GB, CC0"):
        laion.LaionClapJudge(str(tmp_path / "missing.pt"))
    monkeypatch.setattr(StubModule, "known", 5)
    with pytest.raises(UserError, match="knows 5 of 50265"):
        laion.LaionClapJudge(checkpoint, trust=True, python=None)
    monkeypatch.setitem(sys.modules, "laion_clap", None)
    with pytest.raises(UserError, match=r"ditto-bench\[clap\]"):
        laion.LaionClapJudge(checkpoint, trust=True, python=None)


@pytest.mark.parametrize(("name", "needs"), [("clap", "hf download"), ("laion_clap", "download https")])
def test_configurations_name_what_is_missing(name, needs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = OmegaConf.to_container(compose(f"evaluator/text/{name}").evaluator.text)
    if name == "clap":
        cfg["checkpoint"] = str(tmp_path / "none")
    with pytest.raises(UserError, match=needs):
        build(cfg, "evaluator.text")
