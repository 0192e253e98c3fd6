"""The genre judge on made-up embeddings, the choice of real clips, and the shipped weights."""

import numpy as np
import pytest
import soundfile

from ditto.data.labels import Piece, load_pieces, to_csv
from ditto.types import UserError
from eval import real, tags

GENRES = ("hip hop", "jazz", "pop")


def clips(n, seed=0):
    """Embeddings [3, 200] whose first values say the genre; a third of each."""
    generator = np.random.default_rng(seed)
    names = [GENRES[i % 3] for i in range(n)]
    return [generator.normal(size=(3, 200)) + 4 * np.eye(200)[GENRES.index(g)] for g in names], names


@pytest.fixture(scope="module")
def judge():
    return tags.fit(*clips(600), decay=1e-2)


def test_knows_the_prompted_from_the_shuffled_genre(judge):
    heard, names = clips(60, seed=1)
    assert judge.tag_hits(heard, names).mean() > 0.9
    assert judge.tag_hits(heard, names[1:] + names[:1]).mean() < 0.1
    assert judge.tag_score(heard, names).mean() > 3 * judge.tag_score(heard, names[1:] + names[:1]).mean()
    np.testing.assert_allclose(judge.probabilities(heard).sum(1), 1, atol=1e-6)


def test_decay_shrinks(judge):
    assert tags.fit(*clips(600), decay=1.0).weight.norm() < judge.weight.norm()


def test_tag_cosine_is_in_range(judge):
    heard, names = clips(6)
    cosine = judge.tag_cosine(heard, names)
    assert cosine.shape == (6,)
    assert (np.abs(cosine) <= 1 + 1e-6).all()


def test_prompted_genre(judge):
    assert judge.prompted_genre("A Hip-Hop happy song at 90 beats per minute") == "hip hop"
    assert judge.prompted_genre("popular tunes") is None
    with pytest.raises(UserError, match="does not know polka"):
        judge.tag_score(clips(1)[0], ["polka"])


def test_save_and_load(judge, tmp_path):
    judge.save(tmp_path / "judge.safetensors")
    again = tags.load(tmp_path / "judge.safetensors")
    heard, names = clips(6)
    np.testing.assert_allclose(again.tag_score(heard, names), judge.tag_score(heard, names), atol=1e-6)
    assert again.about == judge.about
    with pytest.raises(UserError, match=r"eval\.tags train"):
        tags.load(tmp_path / "missing")


@pytest.fixture
def music(tmp_path):
    """Four pieces of 4.5 s on two tunes; the last is silent."""
    rows = []
    (tmp_path / "music/audio").mkdir(parents=True)
    for k in range(4):
        level = 0.0 if k == 3 else 0.1
        wave = level * np.sin(np.arange(int(4.5 * 22_050)) * (0.05 + 0.01 * k))
        soundfile.write(tmp_path / f"music/audio/p{k}.flac", wave, 22_050)
        blank = dict.fromkeys(("mood", "key", "mode", "lead", "groove"), "") | {"bpm": 90, "instruments": ()}
        about = {
            "piece_id": f"p{k}",
            "split": "train",
            "file": f"audio/p{k}.flac",
            "seconds": 4.5,
            "tune": f"tune{k % 2}",
        }
        captions = (f"a {GENRES[k % 3]} song", "other words")
        rows.append(Piece(**blank, **about, genre=GENRES[k % 3], captions=captions, groove_held_out=False))
    (tmp_path / "music/pieces.csv").write_text(to_csv(rows))
    return tmp_path


def test_excerpts_spread_over_pieces_and_skip_silence(music):
    excerpts = real.load_excerpts("train", 2.0, root=music)
    assert len(excerpts) == 8
    assert {e.clip_id.split(".")[0] for e in excerpts[:4]} == {"p0", "p1", "p2", "p3"}
    chosen = [excerpt for excerpt, _ in real.read_excerpts(excerpts, 6)]
    assert not any(e.clip_id.startswith("p3") for e in chosen)
    assert chosen[0].prompt.endswith("song")
    with pytest.raises(UserError, match="only 6 clips where 7"):
        list(real.read_excerpts(excerpts, 7))


def test_halves_share_no_tune(music):
    halves = [[e.tune for e in _or_empty(music, half)] for half in (0, 1)]
    assert not set(halves[0]) & set(halves[1])
    assert len(halves[0]) + len(halves[1]) == 8


def _or_empty(music, half):
    try:
        return real.load_excerpts("train", 2.0, half, root=music)
    except UserError:
        return []


def test_missing_music_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"ditto\.data\.build"):
        real.load_excerpts("test", 6.0, root=tmp_path)


def test_embedding_excerpts_keeps_order(music, tmp_path):
    excerpts, embedded = real.embed_excerpts(real.load_excerpts("train", 2.0, root=music), 3, tmp_path / "cache", "x")
    assert len(excerpts) == len(embedded) == 3
    assert embedded[0].shape == (1, 200)


def test_shipped_classifier_knows_the_corpus():
    judge = tags.load()
    assert set(judge.genres) == {piece.genre for piece in load_pieces("train")}
    assert float(judge.about["test_accuracy"]) > 7 / len(judge.genres)  # chance is 1
    assert all(judge.prompted_genre(piece.captions[0]) == piece.genre for piece in load_pieces("test"))
