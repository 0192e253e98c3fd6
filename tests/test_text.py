"""The packaged sentence encoder."""

import torch
import torch.nn.functional as F

from ditto.models.text import shared_text_encoder


def test_it_has_a_real_vocabulary_and_ranks_meanings() -> None:
    text = shared_text_encoder()(["a calm jazz song", "a quiet jazz tune", "heavy metal at 150 beats per minute", ""])
    assert text.tokens_BLD.shape == (4, 32, 384)
    assert text.mask_BL.sum(1).tolist()[-1] == 2  # the empty prompt: start and end token
    near, far = (F.cosine_similarity(text.pooled_BD[0], text.pooled_BD[k], dim=0) for k in (1, 2))
    assert near > far + 0.2


def test_a_prompt_does_not_depend_on_its_neighbours_and_numbers_differ() -> None:
    encoder = shared_text_encoder()
    slow, fast = "a song at 60 beats per minute", "a song at 160 beats per minute"
    both, alone = encoder([slow, fast]), encoder([slow])
    torch.testing.assert_close(both.tokens_BLD[:1], alone.tokens_BLD, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(both.tokens_BLD[0], both.tokens_BLD[1], atol=0.05)
