"""Run by the judges' interpreter: random weights of the real classes, in the places where their packages look.

    .venv-judges/bin/python tests/judge_weights.py FOLDER

FOLDER/hf: a HF_HOME with a one-layer RoBERTa and its tokenizer of 50,265 words (bytes and fillers). FOLDER/hub: a
torch.hub folder with a checkpoint for each network of frechet_audio_distance, as the released ones are laid out.
VGGish's repository is a few lines around the `torchvggish` package's network.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))
from eval.judges.compiled import spare_compiled_parts

CLAP, PANN = "music_audioset_epoch_15_esc_90.14.pt", "Cnn14_16k_mAP%3D0.438.pth"
VGGISH, ENCODEC = "vggish-10086976.pth", "encodec_24khz-d7cc33bc.th"
HUBCONF = """
from torchvggish import torchvggish, vggish_input


class VGGish(torchvggish.VGG):
    def forward(self, wave, rate):
        return super().forward(vggish_input.waveform_to_examples(wave, rate))


def vggish():
    import torch

    model = VGGish(torchvggish.make_layers(), False)
    model.load_state_dict(torch.hub.load_state_dict_from_url(torchvggish.VGGISH_WEIGHTS))
    return model
"""


def snapshot(home: Path, name: str) -> Path:
    """The folder of a hub repository's files in a cache."""
    repository, commit = home / "hub" / f"models--{name.replace('/', '--')}", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def write_bpe(folder: Path, words: int) -> None:
    """A byte-level tokenizer without merges, filled up to its number of words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + k) for k in range(len(rest))]
    known = ["<s>", "<pad>", "</s>", "<unk>", *alphabet]
    known += [f"filler{k}" for k in range(words - len(known) - 1)] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(known)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def make_text_models(home: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    roberta = snapshot(home, "roberta-base")
    write_bpe(roberta, 50_265)
    tiny = RobertaConfig(
        vocab_size=300, num_hidden_layers=1, intermediate_size=64, max_position_embeddings=514, type_vocab_size=1
    )
    RobertaModel(tiny).save_pretrained(roberta)


def make_clap(path: Path) -> None:
    """As LAION saved theirs: names with `module.`, and the position numbers that transformers once stored."""
    import laion_clap

    state = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device="cpu").model.state_dict()
    named = {f"module.{name}": value for name, value in state.items()}
    named["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    torch.save({"epoch": 15, "state_dict": named}, path)


def make_others(hub: Path) -> None:
    from encodec import EncodecModel
    from frechet_audio_distance.models.pann import Cnn14_16k
    from torchvggish import torchvggish

    pann = Cnn14_16k(16_000, 512, 160, 64, 50, 8_000, 527)
    sampler = {"indexes": np.arange(3), "pointer": np.int64(0)}  # what PANNs' training saved beside the weights
    torch.save({"iteration": 1, "model": pann.state_dict(), "sampler": sampler}, hub / PANN)
    (hub / "checkpoints").mkdir()
    vggish = torchvggish.VGG(torchvggish.make_layers(), False)
    torch.save(vggish.state_dict(), hub / "checkpoints" / VGGISH)
    torch.save(EncodecModel.encodec_model_24khz(pretrained=False).state_dict(), hub / "checkpoints" / ENCODEC)
    repository = hub / "harritaylor_torchvggish_master"
    repository.mkdir()
    (repository / "hubconf.py").write_text(HUBCONF)


def main(folder: Path) -> None:
    spare_compiled_parts()
    torch.manual_seed(0)
    make_text_models(folder / "hf")
    (folder / "hub").mkdir()
    make_clap(folder / "hub" / CLAP)
    make_others(folder / "hub")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
