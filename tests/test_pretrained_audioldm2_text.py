"""The prompts of AudioLDM 2 are those of diffusers' own pipeline, one by one, and a batch changes none of them."""

import json
from pathlib import Path

import pytest
import torch

from ditto.models.pretrained.audioldm2_text import AudioLDM2Text, load_audioldm2_text
from tests import tiny_audioldm2 as tiny

SHORT, LONG = "a polka", "a calm jazz song with a long name"
NAMES = ("tokens_BLD", "mask_BL", "generated_BSD")  # in the order of the pipeline's own


@pytest.fixture(scope="module")
def pipeline():
    return tiny.audioldm2()


@pytest.fixture(scope="module")
def text(pipeline, tmp_path_factory) -> AudioLDM2Text:
    folder = tmp_path_factory.mktemp("audioldm2")
    pipeline.save_pretrained(folder)
    return load_audioldm2_text(folder)


def theirs(pipeline, prompt):
    """The pipeline's own encoding of a prompt and of its null."""
    with torch.no_grad():
        values = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=True)
    null, own = (dict(zip(NAMES, half, strict=True)) for half in zip(*(v.chunk(2) for v in values), strict=True))
    return own, null


@pytest.mark.parametrize("prompt", [SHORT, LONG, LONG * 3, ""])
def test_a_prompt_has_the_pipelines_encoding(pipeline, text, prompt):
    own, _ = theirs(pipeline, prompt)
    ours = text([prompt]).tensors
    assert set(ours) == set(NAMES)
    for name in NAMES:
        torch.testing.assert_close(ours[name], own[name], atol=1e-5, rtol=1e-5)
    assert ours["generated_BSD"].shape == (1, tiny.STATES, tiny.GPT2_WIDTH)
    assert ours["generated_BSD"].std(dim=1).mean() > 0.1  # each state is another one


def test_prompts_differ_and_the_null_is_the_empty_prompt(text):
    a, b, null = (text([prompt]).tensors["generated_BSD"] for prompt in ("a waltz", "a polka", ""))
    assert (a - b).std() > 0.05
    assert (a - null).std() > 0.05
    assert text([""]).tensors["mask_BL"].shape == (1, 1)


def test_the_pipelines_null_moves_with_the_prompt_and_ours_does_not(pipeline, text):
    """What the module says about padding: T5's states are equal under the mask, GPT-2's are not."""
    (_, short), (_, long), ours = theirs(pipeline, SHORT), theirs(pipeline, LONG), text([""]).tensors
    torch.testing.assert_close(short["tokens_BLD"][:, :1], ours["tokens_BLD"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(long["tokens_BLD"][:, :1], ours["tokens_BLD"], atol=1e-5, rtol=1e-5)
    assert short["mask_BL"].sum() == long["mask_BL"].sum() == 1
    assert (short["generated_BSD"] - long["generated_BSD"]).std() > 0.01


@pytest.mark.parametrize("prompts", [[SHORT, LONG], [LONG, "", SHORT]])
def test_batch_mates_change_nothing_but_the_padding(text, prompts):
    batch = text(prompts).tensors
    for i, prompt in enumerate(prompts):
        alone = text([prompt]).tensors
        length = alone["mask_BL"].shape[1]
        assert torch.equal(batch["generated_BSD"][i], alone["generated_BSD"][0])
        assert torch.equal(batch["tokens_BLD"][i, :length], alone["tokens_BLD"][0])
        assert batch["mask_BL"][i].sum() == length
        assert not batch["tokens_BLD"][i, length:].any()


def test_published_checkpoints_hold_a_gpt2_that_the_pipeline_cannot_use(pipeline, text, tmp_path: Path):
    published = tiny.audioldm2()
    published.register_modules(language_model=pipeline.language_model.transformer)
    with pytest.raises(AttributeError, match="GPT2Model"):
        theirs(published, SHORT)
    published.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["language_model"][1] == "GPT2Model"
    ours = load_audioldm2_text(tmp_path)([SHORT]).tensors
    assert torch.equal(ours["generated_BSD"], text([SHORT]).tensors["generated_BSD"])


def test_only_what_a_prompt_needs_is_kept(text):
    names = [name for name, _ in text.named_parameters()]
    assert not [name for name in names if "audio_model" in name or "audio_projection" in name or "lm_head" in name]
    assert not any(weight.requires_grad for weight in text.parameters())
    assert all(weight.dtype == torch.float32 for weight in text.parameters())


def test_a_prompt_is_encoded_once_and_without_gradients(text, monkeypatch):
    first = text(["a tango"]).tensors
    monkeypatch.setattr(text, "_encode", None)
    assert torch.equal(text(["a tango"]).tensors["tokens_BLD"], first["tokens_BLD"])
    assert not any(value.requires_grad for value in first.values())
