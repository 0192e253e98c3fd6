"""From what a network was trained to predict to the ε̂ that samplers expect.

With x_t = s x_0 + n ε, s = √ᾱ_t and n = √(1−ᾱ_t): a network predicts ε itself (Ho et al. 2020), x_0, or v = s ε − n x_0
(Salimans & Ho 2022); since s² + n² = 1, ε = n x_t + s v.
"""

from torch import Tensor

from ditto.types import UserError

_TO_EPSILON = {
    "epsilon": lambda output, x_t, signal, noise: output,
    "v_prediction": lambda output, x_t, signal, noise: noise * x_t + signal * output,
    "sample": lambda output, x_t, signal, noise: (x_t - signal * output) / noise,
}


def epsilon_of(prediction_type: str, output: Tensor, x_t: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """ε̂ [B, ...] from the network's output [B, ...]; signal and noise broadcast; the types have diffusers' names."""
    if prediction_type not in _TO_EPSILON:
        raise UserError(f"unknown prediction_type {prediction_type!r}: {', '.join(_TO_EPSILON)} are known")
    return _TO_EPSILON[prediction_type](output, x_t, signal, noise)
