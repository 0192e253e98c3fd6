import pytest
import torch

from ditto.models.prediction import epsilon_of
from ditto.schedules import diffusers_schedule
from ditto.types import UserError


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_every_prediction_of_the_same_network_is_the_same_noise(kind):
    """A network that knows x_0 and ε exactly, whatever it was trained to say."""
    x_0, eps = torch.randn(2, 3, 1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t_B, schedule = torch.tensor([10, 500, 990]), diffusers_schedule()
    signal, noise = schedule.signal_and_noise(t_B, x_0)
    x_t = schedule.add_noise(x_0, eps, t_B)
    said = {"epsilon": eps, "v_prediction": signal * eps - noise * x_0, "sample": x_0}[kind]
    torch.testing.assert_close(epsilon_of(kind, said, x_t, signal, noise), eps)


def test_another_prediction_is_refused():
    with pytest.raises(UserError, match="'flow': epsilon, v_prediction, sample are known"):
        epsilon_of("flow", *torch.zeros(4))
