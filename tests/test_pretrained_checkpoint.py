"""A checkpoint is found whole, or the error says what to download; its weights are loaded whole, or not at all."""

import errno
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors
from safetensors.torch import load_file, save_file

from ditto.models.pretrained import checkpoint
from ditto.models.pretrained.checkpoint import (
    fetch,
    load_part,
    load_tokenizer,
    read_config,
    weight_files,
    weights_hash,
)
from ditto.models.pretrained.source import Source
from ditto.types import NoSpace, UserError
from tests.hub_server import serve

SOURCE = Source("Tiny Song", "somebody/tiny-song", 1.5, "CC-BY-NC-SA-4.0")
PARTS = ("vae", "text", "tokenizer", "scheduler")


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "calm": 2, "piano": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder in the layout of diffusers: one network of diffusers, one of transformers, a tokenizer, a scheduler."""
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, layers_per_block=1).save_pretrained(folder / "vae")
    config = T5Config(vocab_size=4, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder / "text")
    _tokenizer().save_pretrained(folder / "tokenizer")
    DDIMScheduler().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MusicLDMPipeline"}))
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _cached(folder: Path, cache: Path) -> Path:
    snapshot = cache / "models--somebody--tiny-song" / "snapshots" / ("a" * 40)
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    return snapshot


def test_a_folder_is_taken_as_it_is(folder):
    assert fetch(str(folder), SOURCE, PARTS) == folder


def test_a_cached_snapshot_works_offline(folder, cache):
    snapshot = _cached(folder, cache)
    assert fetch("somebody/tiny-song", SOURCE, PARTS) == snapshot


@pytest.fixture
def hub(folder, cache, monkeypatch):
    """A hub on this machine with the checkpoint, pickles and half precision included; (address, what was loaded)."""
    for name in ("vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.safetensors", "audio/x.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"{}")
    with serve("somebody/tiny-song", folder) as (address, loaded):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield address, loaded


def test_the_first_use_downloads_what_is_needed_once(hub, folder, monkeypatch):
    snapshot = fetch("somebody/tiny-song", SOURCE, PARTS)
    got = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()}
    assert got == set(hub[1])
    assert not [name for name in got if name.endswith(".bin") or "fp16" in name or name.startswith("audio")]
    assert weights_hash(snapshot, PARTS) == weights_hash(folder, PARTS)
    number = len(hub[1])
    assert fetch("somebody/tiny-song", SOURCE, PARTS) == snapshot
    assert len(hub[1]) == number, "what is there is not loaded again"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("somebody/tiny-song", SOURCE, PARTS) == snapshot


def test_the_hub_does_not_have_it(hub):
    with pytest.raises(UserError, match="the hub has no model nobody/nothing"):
        fetch("nobody/nothing", SOURCE, PARTS)


def test_the_model_on_the_hub_lacks_a_part(hub):
    with pytest.raises(UserError, match="is not whole: nothing of unet"):
        fetch("somebody/tiny-song", SOURCE, (*PARTS, "unet"))


def test_half_a_cached_snapshot_is_told(folder, cache):
    (_cached(folder, cache) / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no weights of Tiny Song: .*vae has no weights"):
        fetch("somebody/tiny-song", SOURCE, PARTS)


def test_without_network_the_error_says_what_to_do(cache):
    with pytest.raises(UserError) as told:
        fetch("somebody/tiny-song", SOURCE, ("vae", "text"), "v1")
    line = str(told.value)
    assert "\n" not in line
    for said in ("HF_HUB_OFFLINE", "1.5 GiB", "CC-BY-NC-SA-4.0", "model.checkpoint=FOLDER"):
        assert said in line
    command = "hf download somebody/tiny-song --revision v1 --include 'model_index.json' --include 'vae/*' --include"
    assert command in line
    assert "hf auth login" not in line


def test_of_other_weights_no_size_or_licence_is_claimed(cache):
    with pytest.raises(UserError) as told:
        fetch("another/song", SOURCE, PARTS)
    assert "https://huggingface.co/another/song" in str(told.value)
    assert "GiB" not in str(told.value)


def _response(status):
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co"))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.GatedRepoError("", response=_response(403)), UserError, "is gated"),
        (errors.RepositoryNotFoundError("", response=_response(404)), UserError, "has no model somebody/tiny-song"),
        (errors.RevisionNotFoundError("", response=_response(404)), UserError, "has no revision None"),
        (errors.LocalEntryNotFoundError("Got: ConnectError"), UserError, "the hub cannot be reached"),
        (OSError(errno.ENOSPC, "No space left on device"), NoSpace, "no room for somebody/tiny-song"),
        (RuntimeError("Data processing error: No space left on device"), NoSpace, "HF_HOME"),
        (ConnectionResetError("reset\nby peer"), UserError, "ConnectionResetError: reset"),
    ],
)
def test_each_failure_of_a_download_is_one_line(monkeypatch, error, kind, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UserError) as told:
        fetch("somebody/tiny-song", SOURCE, PARTS)
    assert type(told.value) is kind
    assert said in str(told.value)
    assert "hf download somebody/tiny-song" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_gated_model_names_login_and_licence(cache):
    with pytest.raises(UserError, match=r"first accept the licence at https://huggingface\.co/a/b and `hf auth login`"):
        fetch("a/b", Source("Gated", "a/b", 1.0, "some licence", gated=True), PARTS)


def test_only_the_parts_are_downloaded(monkeypatch, folder):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch("somebody/tiny-song", SOURCE, ("vae", "text"), "v1") == folder
    assert asked["allow_patterns"] == ["model_index.json", "vae/*", "text/*"]
    assert (asked["name"], asked["revision"]) == ("somebody/tiny-song", "v1")
    files = ["vae/config.json", "vae/a.bin", "vae/diffusion_pytorch_model.fp16.safetensors", "vae/model.safetensors"]
    kept = huggingface_hub.utils.filter_repo_objects(
        files, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"]
    )
    assert list(kept) == ["vae/config.json", "vae/model.safetensors"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model_index.json", "it has no model_index.json"),
        ("vae", "nothing of vae"),
        ("text/model.safetensors", "text has no weights"),
        ("tokenizer", "nothing of tokenizer"),
    ],
)
def test_half_a_folder_is_refused(folder, gone, said):
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=said) as told:
        fetch(str(folder), SOURCE, PARTS)
    assert "hf download somebody/tiny-song" in str(told.value)


def test_a_missing_shard_is_refused(folder):
    where = folder / "vae"
    (where / "diffusion_pytorch_model.safetensors").unlink()
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (where / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (where / "one.safetensors").touch()
    with pytest.raises(UserError, match=r"vae lacks two\.safetensors"):
        fetch(str(folder), SOURCE, PARTS)
    assert [file.name for file in weight_files(folder, "vae")] == ["one.safetensors", "two.safetensors"]


def test_pickled_weights_are_refused(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="can run code"):
        load_part(torch.nn.Module, folder, "vae")


def test_a_revision_is_for_the_hub(folder):
    with pytest.raises(UserError, match="is a folder"):
        fetch(str(folder), SOURCE, PARTS, "main")


def test_neither_folder_nor_id(cache):
    with pytest.raises(UserError, match="neither a folder here nor the id") as told:
        fetch("/nowhere/at/all", SOURCE, PARTS)
    assert "hf download somebody/tiny-song" in str(told.value)


def test_the_hash_is_of_weights_and_settings_not_of_the_place(saved, folder):
    before = weights_hash(saved, PARTS)
    assert len(before) == 16
    assert weights_hash(folder, tuple(reversed(PARTS))) == before
    name = {**read_config(folder, "vae"), "_name_or_path": "elsewhere"}
    (folder / "vae" / "config.json").write_text(json.dumps(name))
    assert weights_hash(folder, PARTS) == before
    (folder / "vae" / "config.json").write_text(json.dumps({**name, "scaling_factor": 0.5}))
    changed = weights_hash(folder, PARTS)
    assert changed != before
    path = folder / "text" / "model.safetensors"
    tensors = load_file(path)
    tensors["shared.weight"][0, 0] += 1e-6
    save_file(tensors, path, {"format": "pt"})
    assert weights_hash(folder, PARTS) not in (before, changed)


def _classes():
    from diffusers import AutoencoderKL
    from transformers import T5EncoderModel

    return {"vae": AutoencoderKL, "text": T5EncoderModel}


@pytest.mark.parametrize("part", ["vae", "text"])
def test_a_part_is_loaded_whole_in_float32(folder, part, capfd):
    path = weight_files(folder, part)[0]
    stored = load_file(path)
    save_file({name: value.half() for name, value in stored.items()}, path, {"format": "pt"})
    module = load_part(_classes()[part], folder, part)
    assert capfd.readouterr() == ("", "")
    assert not module.training
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32}
    loaded = module.state_dict()
    assert all(torch.equal(loaded[name], value.half().float()) for name, value in stored.items())


@pytest.mark.parametrize("part", ["vae", "text"])
@pytest.mark.parametrize("kind", ["missing", "unexpected", "shape", "truncated"])
def test_a_part_that_is_not_whole_is_refused(folder, part, kind):
    path = weight_files(folder, part)[0]
    tensors = load_file(path)
    name = sorted(name for name in tensors if tensors[name].dim() == 1)[0]
    if kind == "missing":
        del tensors[name]
    elif kind == "unexpected":
        tensors["no.such.weight"] = torch.zeros(1)
    elif kind == "shape":
        tensors[name] = torch.zeros(999)
    save_file(tensors, path, {"format": "pt"})
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"is no whole|cannot be loaded as {_classes()[part].__name__}"):
        load_part(_classes()[part], folder, part)


@pytest.mark.parametrize("part", ["vae", "text"])
def test_weights_that_are_not_wanted_and_old_constants_are_no_error(folder, part, capfd):
    path = weight_files(folder, part)[0]
    extra = {name: torch.zeros(1) for name in ("audio.x", "text.position_ids", "h.0.attn.masked_bias")}
    save_file({**load_file(path), **extra}, path, {"format": "pt"})
    assert load_part(_classes()[part], folder, part, unused=("audio.",)) is not None
    assert capfd.readouterr().err.count("\n") <= 1  # diffusers names them in a line
    with pytest.raises(UserError, match=r"1 weights unexpected \(audio\.x"):
        load_part(_classes()[part], folder, part)


def test_an_empty_tokenizer_is_refused(folder):
    from transformers import RobertaTokenizer

    assert load_tokenizer(folder, "tokenizer", vocabulary=4)("calm piano")["input_ids"] == [2, 3]
    with pytest.raises(UserError, match="knows 2 of 400 words"):
        load_tokenizer(folder, "tokenizer", vocabulary=400)
    shutil.rmtree(folder / "tokenizer")
    RobertaTokenizer().save_pretrained(folder / "tokenizer")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"its files are missing|no tokenizer"):
        load_tokenizer(folder, "tokenizer")


def test_damaged_settings_are_told(folder):
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_config(folder, "vae")
    with pytest.raises(UserError, match="has no config"):
        checkpoint.read_config(folder, "nothing")
