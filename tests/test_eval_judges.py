"""The real laion_clap and frechet_audio_distance in the judges' environment, with random weights of the true size.

What each package does unfenced is in tests/judge_traps.py, run by the same interpreter; each fence is tested beside its
trap. A release that mends a trap fails here, and its fence can go.
"""

import shutil

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.run import CONF
from ditto.types import UserError
from eval import embeddings, fad
from tests.judge_cases import PYTHON, judge_folder, needs_judges, noise, traps  # noqa: F401 (fixtures)

pytestmark = needs_judges

CLAP = "music_audioset_epoch_15_esc_90.14.pt"
PROMPTS = ["a happy jazz song", "a sad rock song", "jazz"]
WINDOWS = {"vggish": (2, 11), "pann": (1, 2), "fad_clap": (1, 3), "encodec": (150, 863)}  # rows of 2 and of 11.5 s


def chosen(group, name, **options):
    options["python"] = PYTHON
    overrides = [f"evaluator.{group}.{key}={value}" for key, value in options.items()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"evaluator/{group}={name}", *overrides])
    return build(OmegaConf.to_container(cfg.evaluator[group], resolve=True), f"evaluator.{group}")


def clips():
    """Two, ten and 11.5 seconds: shorter than CLAP's window, a whole one, longer."""
    return [(f"clip{k}", noise(k, seconds, 22_050), 22_050) for k, seconds in enumerate((2.0, 10.0, 11.5))]


@pytest.fixture(scope="module")
def offline(judge_folder):  # noqa: F811
    """The workers may ask a hub that does not answer, which takes minutes: they must not, as all is in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(judge_folder / "hf"))
        patch.setenv("HF_HUB_OFFLINE", "0")
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        yield judge_folder


@pytest.fixture(scope="module")
def judge(offline):
    one = chosen("text", "laion_clap", checkpoint=offline / "hub" / CLAP, trust=True, cache="null")
    print(one.about["judge"])
    yield one
    one.network.close()


@pytest.fixture(scope="module")
def embedder(offline):
    """The embedder of a name, started once."""
    started = {}

    def of(name):
        started[name] = started.get(name) or chosen("embedding", name, checkpoints=offline / "hub")
        return started[name]

    yield of
    for one in started.values():
        one.network.close()


def state():
    return (
        torch.is_grad_enabled(),
        torch.hub.get_dir(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def test_clap_scores_are_of_the_pair_alone(judge):
    before = state()
    scores = judge.scores(PROMPTS, clips())
    assert state() == before
    assert scores.shape == (3,)
    assert np.ptp(scores) > 1e-5
    np.testing.assert_array_equal(judge.scores(PROMPTS[::-1], clips()[::-1])[::-1], scores)
    alone = [judge.scores([prompt], [clip])[0] for prompt, clip in zip(PROMPTS, clips(), strict=True)]
    np.testing.assert_array_equal(scores, alone)
    assert all(name in judge.about["judge"] for name in ("laion_clap 1.1", "torch 2", "numpy 1", "transformers"))


def test_clap_hears_a_long_clip_whole_and_always_the_same(judge, traps):  # noqa: F811
    assert traps["crops_differ"] > 1e-3  # the same clip twice, bare
    wave = np.concatenate([noise(0, 10.5), np.zeros(24_000, np.float32)])
    first, again = (judge.embed_clip(wave, 48_000) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    changed = np.concatenate([wave[:-12_000], noise(5, 0.25)])
    assert np.abs(judge.embed_clip(changed, 48_000) - first).max() > 1e-4
    with pytest.raises(UserError, match="would crop above 480000 at random"):
        judge.network.embed_waves([wave])


def test_clap_pairs_by_position_not_by_directory(judge, traps):  # noqa: F811
    one, other = traps["scores_by_directory_order"]
    assert abs(one - other) > 1e-6
    texts, heard = judge.embed_texts(PROMPTS[:2]), [judge.embed_clip(clip[1], clip[2]) for clip in clips()[:2]]
    expected = [float(text @ sound / np.linalg.norm(sound)) for text, sound in zip(texts, heard, strict=True)]
    np.testing.assert_allclose(judge.scores(PROMPTS[:2], clips()[:2]), expected, atol=1e-6)


def test_what_the_bare_packages_do_to_a_process(traps):  # noqa: F811
    assert traps["draws_random_numbers"]
    assert traps["extends_the_path"]
    assert traps["moves_the_hub"]


def test_an_empty_tokenizer_is_refused(offline, tmp_path, monkeypatch):
    shutil.copytree(offline / "hf", tmp_path / "hf")
    for file in (tmp_path / "hf/hub/models--roberta-base").rglob("*.*"):
        if file.name in ("vocab.json", "merges.txt"):
            file.unlink()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"tokenizer of 'roberta-base' knows \d+ of 50265"):
        chosen("text", "laion_clap", checkpoint=offline / "hub" / CLAP, trust=True)


def test_absent_text_models_and_wrong_checkpoints_are_named(offline, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no laion_clap checkpoint of HTSAT-tiny without fusion"):
        chosen("text", "laion_clap", checkpoint=offline / "hub" / CLAP, trust=True, architecture="HTSAT-tiny")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"roberta-base \(0\.5 GB, MIT\).*HF_HOME"):
        chosen("text", "laion_clap", checkpoint=offline / "hub" / CLAP, trust=True)


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_networks_of_frechet_audio_distance(name, embedder, tmp_path):
    """Rows, repeatability, independence of the neighbours, the protocol, and the process as it was."""
    before, one = state(), embedder(name)
    print(one.network.described["versions"])
    found = embeddings.embed_clips(clips()[::2], tmp_path, one)
    assert [len(rows) for rows in found.values()] == list(WINDOWS[name])
    assert {rows.shape[1] for rows in found.values()} == {one.dimension}
    again = one.embed(clips()[::-2])[::-1]
    for rows, same in zip(found.values(), again, strict=True):
        np.testing.assert_array_equal(rows, same)
    assert np.abs(found["clip0"][0] - found["clip2"][0]).max() > 1e-6
    assert [path.name for path in tmp_path.iterdir()] == [one.fingerprint]
    assert state() == before
    with pytest.raises(UserError, match="get_embeddings throw an exception"):
        one.network.embed_waves([np.zeros((2, 3, 4), np.float32)])


def test_a_failure_is_never_a_number(offline, embedder, traps):  # noqa: F811
    """Bare, an unreadable file is a distance of -1; and a clip too short for VGGish is no row at all."""
    assert traps["score_of_a_broken_file"] == -1
    with pytest.raises(UserError, match=r"broken/a\.wav"):
        list(embeddings.read_files([offline / "broken/a.wav"]))
    with pytest.raises(UserError, match=r"clip short: vggish failed: .*get_embeddings throw"):
        embedder("vggish").embed([("short", noise(0, 0.6, 16_000), 16_000)])


def test_pann_loads_as_released_and_keeps_its_rows(traps):  # noqa: F811
    """Fenced: WINDOWS above counts two rows for two windows, and its checkpoint held NumPy values."""
    assert not traps["released_pann_loads"]
    assert traps["shape_of_two_pann_clips"] == [4096]


def test_missing_weights_do_not_ask_questions(offline, tmp_path):
    """torch.hub would ask on the terminal whether to trust VGGish's repository."""
    with pytest.raises(UserError, match=r"vggish cannot be loaded.*trust_repo=True.*in or below"):
        chosen("embedding", "vggish", checkpoints=tmp_path)


def test_fad_is_the_packages_own_on_its_own_embeddings(offline, embedder, traps):  # noqa: F811
    """1e-9 where both covariances are of full rank; the package's square root has 1e-6 where they nearly are not."""
    bare = list(np.load(offline / "encodec.npz").values())
    ours = [embedder("encodec")(noise(seed, 4.0, 24_000), 24_000) for seed in (4, 5)]
    for one, other in zip(ours, bare, strict=True):
        np.testing.assert_array_equal(one, other)
    full = [noise(seed, 400 * 128 / 48_000).reshape(400, 128) for seed in (6, 7)]
    for sets, key, tolerance in ((full, "full_rank_distance", 1e-9), (ours, "distance", 1e-5)):
        assert fad.fad(sets[:1], fad.Statistics.of(sets[1:])) == pytest.approx(traps[key], rel=tolerance)
