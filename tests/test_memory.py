import pytest
import torch

from ditto.memory import GIB, Auto, Checkpoint, Store, count_calls, saved_bytes
from ditto.models.toy import Toy
from ditto.sampling import DDIM, noise


def _run(memory, sampler=None, prompts=("a", "b")):
    """Loss gradient at x_T, bytes saved and calls made."""
    toy = Toy()
    x_T = noise(range(len(prompts)), toy.shape).requires_grad_()
    with count_calls(toy) as calls:
        with saved_bytes() as meter:
            x_0 = (sampler or DDIM(10, 2.0))(toy, x_T, toy.encode(list(prompts)), memory=memory)
        x_0.square().sum().backward()
    return x_T.grad, meter.bytes, calls.count


def _one_step():
    toy = Toy()
    x = noise([0, 1], toy.shape).requires_grad_()
    with saved_bytes() as meter:
        _ = DDIM(1, 2.0)(toy, x, toy.encode(["a", "b"]))
    return meter.bytes


@pytest.mark.parametrize("memory", [Checkpoint(), Auto(0.0), Auto(_one_step() * 4.5 / GIB), Auto(100.0)])
def test_gradients_are_identical(memory):
    assert torch.equal(_run(Store())[0], _run(memory)[0])


def test_calls_are_counted_with_recomputation():
    assert _run(Store())[2] == 10
    assert _run(Checkpoint())[2] == 20
    assert _run(Auto(100.0))[2] == 10
    assert _run(Auto(0.0))[2] == 19  # the measured first step is kept


def test_auto_stores_as_many_steps_as_fit():
    step = _one_step()
    auto = Auto(step * 4.5 / GIB)
    assert _run(auto)[2] == 10 + 6
    assert auto.step_bytes == pytest.approx(step, rel=0.05)


def test_checkpointing_keeps_latents_only():
    stored = _run(Store())[1]
    checkpointed = _run(Checkpoint())[1]
    latent = 2 * 16 * 32 * 4
    assert checkpointed <= 12 * latent < stored


def test_saved_bytes_counts_a_storage_once_and_no_weights():
    weight = torch.nn.Parameter(torch.randn(100, 100), requires_grad=False)
    x = torch.randn(7, 100, requires_grad=True)
    with saved_bytes() as meter:
        _ = torch.nn.functional.linear(x, weight)
    assert meter.bytes == 0
    with saved_bytes() as meter:
        y = x.exp()  # keeps its result
        _ = y * y.view(-1).view(7, 100)
    assert meter.bytes == 7 * 100 * 4


@pytest.mark.parametrize("memory", [Store(), Checkpoint(), Auto(1.0)])
def test_nothing_is_recorded_without_gradients(memory):
    toy = Toy()
    x_T = noise([0], toy.shape).requires_grad_()
    with torch.no_grad(), count_calls(toy) as calls:
        assert not DDIM(5)(toy, x_T, toy.encode(["a"]), memory=memory).requires_grad
    assert calls.count == 5


def test_counting_restores_the_model_after_an_error():
    toy = Toy()
    with pytest.raises(RuntimeError), count_calls(toy):
        raise RuntimeError
    assert "denoise" not in vars(toy)
    with count_calls(toy) as outer, count_calls(toy) as inner:
        toy.denoise(noise([0], toy.shape), torch.tensor([5]), toy.encode(["a"]))
    assert outer.count == inner.count == 1
