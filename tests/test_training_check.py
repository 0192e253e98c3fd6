"""The look at a new machine: what is wanting is said, all of it at once."""

from collections.abc import Iterator

import pytest
import torch

from ditto.training import check


def test_this_machine_is_ready_as_far_as_it_goes(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "packages", lambda: iter(()))  # tinysoundfont is not one of our own requirements
    assert check.main(["--device", "cpu", "--disk-gib", "0.001"]) == 0
    assert capsys.readouterr().out.endswith("ready\n")


def test_all_that_is_wanting_is_said(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[str]:
        raise RuntimeError("no encoder")
        yield ""

    looked = list(check.packages(("no_such_package", "json")))
    monkeypatch.setattr(check, "packages", lambda: iter(looked))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(check, "text", broken)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**30})())
    assert check.main(["--device", "cuda"]) == 1
    said = capsys.readouterr()
    assert said.out.endswith("not ready\n")
    assert "wanting: no_such_package: ModuleNotFoundError" in said.err
    assert "json" not in said.err
    assert "wanting: no GPU" in said.err
    assert "wanting: RuntimeError: no encoder" in said.err
    assert "1 GiB are free" in said.err
