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


def test_small_remains_are_not_looked_for(monkeypatch):
    measured(1)
    monkeypatch.setattr(peak, "_clean_up", lambda: pytest.fail("a quarter of a second for nothing"))
    measured(1)
    more = torch.ones(2 * peak.TOLERANCE // 4)
    with pytest.raises(pytest.fail.Exception):
        measured(1)
    assert more.sum() > 0


def test_what_an_action_takes_is_beyond_what_was_there():
    there = torch.ones(64 * MIB // 4)
    taken = peak.taken_by(lambda: use(256), CPU)
    if taken is None:
        pytest.skip("the kernel keeps no mark that can be put back")
    assert taken / MIB == pytest.approx(256, rel=0.1)
    assert there.sum() > 0


def test_without_the_kernels_mark_it_is_the_peak_so_far(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "_PROCESS", tmp_path / "missing")
    assert peak.taken_by(lambda: use(1), CPU) is None
    assert measured(1) == pytest.approx(peak._peak_so_far() / 2**30)
    assert 0.05 < measured(1) < 100  # GiB, not KiB
