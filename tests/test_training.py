"""Training on a few synthetic pieces: it learns, resumes in the same stream of batches, exports and loads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ditto.models.embedded import load
from ditto.training.clips import FRAMES, ClipData
from ditto.training.export import export
from ditto.training.mels import build_mels
from ditto.training.train import main
from ditto.types import UserError
from tests.music_cases import write_music

CONF = str(Path(__file__).parent.parent / "conf")
SMALL = [
    "network.network.patch=[16,16]",
    "network.network.channels=[16,32]",
    "network.network.attention=[false,true]",
    "+network.network.norm_groups=8",
    "trainer.accelerator=cpu",
    "+trainer.enable_progress_bar=false",
    "+trainer.enable_model_summary=false",
    "batch_size=2",
    "stage.warmup_steps=1",
    "stage.validate_every=2",
    "hours=1",
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_music(root)
    return root


def train(folder: Path, data_root: Path, *overrides: str) -> None:
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg: DictConfig = compose("train", [*SMALL, f"folder={folder}", f"data_root={data_root}", *overrides])
    main.__wrapped__(cfg)


def test_train_resume_export_load(data_root: Path, tmp_path: Path) -> None:
    runs = tmp_path / "denoiser", tmp_path / "vocoder"
    train(runs[0], data_root, "max_steps=2")
    train(runs[0], data_root, "max_steps=4", "seed=0")
    assert torch.load(runs[0] / "last.ckpt", weights_only=False)["global_step"] == 4
    assert {p.stem for p in (runs[0] / "samples").glob("*.png")} == {"0000002", "0000004"}
    small = ("+stage.module.network.width=16", "+stage.module.network.blocks=1")
    train(runs[1], data_root, "stage=vocoder", "max_steps=2", *small)
    export(*runs, tmp_path / "weights")
    model = load(str(tmp_path / "weights"), precision="float32")
    assert model.sigma > 0.1
    assert model.wave(torch.zeros(1, 1, 160, 32)).shape == (1, 32 * 256)


def test_batches_are_a_function_of_seed_and_number(data_root: Path) -> None:
    data = ClipData(str(data_root), batch_size=3)
    data.prepare_data()
    data.setup()
    first, again, other = (data.sets["train"][k] for k in (5, 5, 6))
    assert first["mel_BFT"].shape == (3, 160, FRAMES)
    assert torch.equal(first["mel_BFT"], again["mel_BFT"])
    assert not torch.equal(first["mel_BFT"], other["mel_BFT"])
    assert first["mask_BL"].sum() > 0


def test_a_killed_mel_cache_is_mended(data_root: Path) -> None:
    cache = build_mels(data_root, "train")
    whole = cache.frames_TF.copy()
    store, rows = (data_root / "music" / "mels" / f"train.{end}" for end in ("f16", "csv"))
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:-1]))  # killed after the last piece's frames, before its row
    np.testing.assert_array_equal(build_mels(data_root, "train").frames_TF, whole)
    assert store.stat().st_size == whole.nbytes


def test_missing_music_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ditto\.data\.build"):
        build_mels(tmp_path, "train")
