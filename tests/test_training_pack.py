"""The road to a GPU machine without a network: files in parts, the small sentence encoder, a start from weights."""

import subprocess
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ditto.training import pack, parts, small_text
from ditto.training.mels import build_mels
from ditto.training.start import StartFrom, load_into
from ditto.types import UserError
from tests.test_training import data_root  # noqa: F401


def test_a_file_in_parts_comes_back_whole(tmp_path: Path) -> None:
    path, content = tmp_path / "weights.tar", bytes(range(256)) * 9000
    path.write_bytes(content)
    made = parts.split(path, 1.0, tmp_path / "out")
    assert [part.name for part in made] == [f"weights.tar.part-0{k}-of-03" for k in (1, 2, 3)]
    assert all(part.stat().st_size <= 2**20 for part in made)
    assert parts.main(["join", str(tmp_path / "back" / "weights.tar")]) == 2  # no such folder
    path.unlink()
    assert parts.join(path, tmp_path / "out").read_bytes() == content


def test_damaged_and_missing_parts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3000)
    made = parts.split(path, 0.001)
    made[0].write_bytes(b"y" * made[0].stat().st_size)
    with pytest.raises(UserError, match="damaged"):
        parts.join(path)
    assert path.read_bytes() == b"x" * 3000
    made[1].unlink()
    with pytest.raises(UserError, match="missing"):
        parts.join(path)


def test_a_shrunk_encoder_keeps_the_words_it_was_given() -> None:
    generator = torch.Generator().manual_seed(0)
    state = {
        small_text.WORDS: torch.randn(10, 128, generator=generator),
        "encoder.dense.weight": torch.randn(6, 64, generator=generator),
        "encoder.dense.bias": torch.randn(6, generator=generator),
        "pooler.dense.weight": torch.zeros(2, 64),
    }
    words = torch.tensor([0, 3, 9])
    back = small_text.restore_state(small_text.shrink_state(state, words), vocabulary=10)
    assert set(back) == {name for name in state if not name.startswith("pooler")}
    assert back[small_text.WORDS][[1, 2, 4]].isnan().all()
    torch.testing.assert_close(back[small_text.WORDS][words], state[small_text.WORDS][words], atol=0.02, rtol=0)
    torch.testing.assert_close(back["encoder.dense.weight"], state["encoder.dense.weight"], atol=0.02, rtol=0)
    torch.testing.assert_close(back["encoder.dense.bias"], state["encoder.dense.bias"], atol=2e-3, rtol=0)


class Module(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.Linear(width, width)
        self.register_buffer("sigma", torch.ones(()))


def test_training_starts_from_exported_weights(tmp_path: Path) -> None:
    path, weight = tmp_path / "denoiser.safetensors", torch.eye(3)
    save_file({"weight": weight.half(), "bias": torch.zeros(3).half(), "sigma": torch.tensor(2.0)}, path)
    module = Module(3)
    load_into(module, path)  # type: ignore[arg-type]
    assert torch.equal(module.network.weight, weight)
    assert module.sigma == 2.0
    with pytest.raises(UserError, match="another network"):
        load_into(Module(4), path)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="start_from"):
        StartFrom(str(tmp_path), "vocoder")


def test_mels_of_many_workers_are_those_of_one(data_root: Path) -> None:  # noqa: F811
    one = build_mels(data_root, "train").frames_TF.tobytes()
    for path in (data_root / "music" / "mels").glob("train.*"):
        path.unlink()
    assert build_mels(data_root, "train", workers=2).frames_TF.tobytes() == one


def test_a_pack_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wheels(folder: Path, python: str) -> None:
        folder.mkdir()
        (folder / "one.whl").write_bytes(torch.randint(0, 256, (40000,), dtype=torch.uint8).numpy().tobytes())

    monkeypatch.setattr(pack, "wheels", wheels)

    def soundfont(folder: Path, package: str, name: str) -> Path:
        (folder / name).write_bytes(package.encode())
        return folder / name

    monkeypatch.setattr(pack, "soundfont", soundfont)
    monkeypatch.setattr(pack, "shrink", lambda texts, path: path.write_bytes(b"encoder"))
    made = pack.build(tmp_path / "out", parts_mib=0.02)
    assert [part.parent.name for part in made] == ["01", "02"]
    assert (tmp_path / "out" / "01" / "pack.tar.xz.sha256").exists()
    parts.join(tmp_path / "pack.tar.xz", gathered(made, tmp_path / "there"))
    with tarfile.open(tmp_path / "pack.tar.xz") as tar:
        assert {"soundfont.sf3", "second.sf2", "encoder.tar.xz"} < set(tar.getnames())
    with pytest.raises(UserError, match="more than"):
        pack.build(tmp_path / "out", limit_mib=0.01)


def gathered(made: list[Path], folder: Path) -> Path:
    """The parts and the sum of all folders in one."""
    folder.mkdir()
    for path in {file for part in made for file in part.parent.iterdir()}:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_what_travels_is_what_git_does_not_ignore(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("large\n")
    (tmp_path / "large").write_bytes(bytes(2**20))
    assert pack.travelling(tmp_path) < 0.01
    (tmp_path / "new").write_bytes(bytes(2**20))
    assert 1 <= pack.travelling(tmp_path) < 1.01
