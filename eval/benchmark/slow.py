"""Levers that the code has no switch for, taken away by changing the model from outside. For measuring only.

A change holds while it is entered, `with slow(model)`; a `permanent` one is made once, on a model of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ditto import allocator
from ditto.models.base import MusicModel
from ditto.models.frozen import forget_inputs, remember_inputs
from ditto.types import Condition


class Slow:
    """Nothing is changed."""

    permanent: ClassVar[bool] = False

    def change(self, model: MusicModel) -> None:
        """Of a permanent one: once, on a model that no other variant uses."""

    def __call__(self, model: MusicModel) -> AbstractContextManager[None]:
        return nullcontext()


class Contiguous(Slow):
    """Weights and activations of 2-D convolutions in PyTorch's own layout, channels first.

    Without hooks: a network that has some does not run compiled.
    """

    permanent: ClassVar[bool] = True

    def change(self, model: MusicModel) -> None:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        network: Any = getattr(model, "network", None)
        if hasattr(network, "patches"):  # which says the layout of all that follows
            network.patches = partial(_contiguous, network.patches)


class ReturnedBuffers(Slow):
    """glibc maps large buffers anew each time, as it does in a process that does not call `allocator.keep_buffers`."""

    @contextmanager
    def __call__(self, model: MusicModel) -> Iterator[None]:
        allocator.return_buffers()
        try:
            yield
        finally:
            allocator.keep_buffers()


class TwoCalls(Slow):
    """CFG asks the network twice, once with the prompts and once without. Where CFG is on, a batch is both."""

    @contextmanager
    def __call__(self, model: MusicModel) -> Iterator[None]:
        def twice(denoise: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def denoised(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
                if len(x_t) % 2:
                    return denoise(x_t, t, condition)
                half = len(x_t) // 2
                parts = (slice(None, half), slice(half, None))
                return torch.cat([denoise(x_t[part], t[part], condition[part]) for part in parts])

            return denoised

        with replaced(model, "denoise", twice):
            yield


class ParameterGradients(Slow):
    """The backward pass computes the gradients of all weights as well, as it does where nobody froze them."""

    @contextmanager
    def __call__(self, model: MusicModel) -> Iterator[None]:
        backward = torch.Tensor.backward

        def of_everything(tensor: Tensor, *args: Any, inputs: Any = None, **kwargs: Any) -> None:
            backward(tensor, *args, **kwargs)  # `inputs` would spare the weights

        model.requires_grad_(True)
        torch.Tensor.backward = of_everything  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            torch.Tensor.backward = backward  # type: ignore[method-assign]
            model.requires_grad_(False).zero_grad(set_to_none=True)


class ConvolutionInputs(Slow):
    """Frozen convolutions keep their inputs for the backward pass, which does not read them."""

    @contextmanager
    def __call__(self, model: MusicModel) -> Iterator[None]:
        remember_inputs(model)
        try:
            yield
        finally:
            forget_inputs(model)


class WaitEveryCall(Slow):
    """A value is read after every network call, as a check for NaN would: the device is waited for."""

    @contextmanager
    def __call__(self, model: MusicModel) -> Iterator[None]:
        def waiting(denoise: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def denoised(*args: Any) -> Tensor:
                eps = denoise(*args)
                eps.detach().flatten()[0].item()
                return eps

            return denoised

        with replaced(model, "denoise", waiting):
            yield


def _contiguous(function: Callable[..., Tensor], *args: Any) -> Tensor:
    return function(*args).contiguous()


@contextmanager
def replaced(model: MusicModel, name: str, wrapped: Callable[[Any], Any]) -> Iterator[None]:
    """`model.<name>` is `wrapped(model.<name>)` inside; contexts nest."""
    original, own = getattr(model, name), name in vars(model)
    vars(model)[name] = wrapped(original)
    try:
        yield
    finally:
        if own:
            vars(model)[name] = original
        else:
            del vars(model)[name]
