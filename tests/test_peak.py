"""The peak of memory is that of the batch, not of the process."""

from pathlib import Path

import pytest
import torch

from ditto import peak

CPU = torch.device("cpu")
MIB = 2**20


def use(mib):
    """Fill this much memory and let it go."""
    torch.ones(mib * MIB // 4).sum()


def measured(mib):
    peak.start_peak(CPU)
    use(mib)
    return peak.peak_gib(CPU)


def test_the_peak_covers_what_was_used_since_the_start():
    least = measured(1)
    assert measured(256) >= least + 0.2


def test_an_earlier_batch_does_not_count():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel keeps no mark that can be put back")
    small = measured(1)
    big = measured(256)
    assert measured(1) == pytest.approx(small, abs=0.05)
    assert big > small + 0.2


def test_without_the_kernels_mark_it_is_the_peak_so_far(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "_PROCESS", tmp_path / "missing")
    assert measured(1) == pytest.approx(peak._peak_so_far() / 2**30)
    assert 0.05 < measured(1) < 100  # GiB, not KiB
