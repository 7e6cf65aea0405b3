"""Several threads that learn from a batch together, each from a part of it: on a CPU, most of a step in one each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

__all__ = ["Crew", "threads_of_torch"]

#: Parts of a batch, whatever the number of processors: what a network becomes must not hang on it.
PARTS = 2


class Crew:
    """A network and its twins, which share its weights: each sees a part of every batch, in a thread of its own.

    A convolution that is split over the threads of a processor waits for the slowest at each layer, and for whatever
    else runs; networks that see parts of a batch wait once. The loss is that of the whole batch. Only what batches are
    normalised by is of the parts (as in Hoffer 2017, arXiv:1705.08741); running statistics become the mean of them.

    Parameters
    ----------
    network
        What learns. It has the gradients after each step.
    size
        Crops in a batch; one alone is not parted, and none on a GPU.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        device = next(network.parameters()).device.type
        parts = PARTS if device == "cpu" and size >= PARTS else 1
        #: On a GPU, 16 bits are used where these are enough.
        self.half = torch.amp.GradScaler(device, enabled=device == "cuda")
        self._device = device
        self._members = [network, *(_twin(network) for _ in range(parts - 1))]
        self._threads = torch.get_num_threads()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the threads ready, and twins that know what the network knows."""
        for member in self._members:
            member.train()
        self._alike()
        each = max(1, self._threads // len(self._members)) if self._parted else 0
        with threads_of_torch(each), ThreadPoolExecutor(len(self._members), "crew", threads_at, (each,)) as self._pool:
            yield

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Leave all processors to something else for a while."""
        with threads_of_torch(self._threads if self._parted else 0):
            yield

    @property
    def _parted(self) -> bool:
        return len(self._members) > 1

    def gradients(self, images: Tensor, loss: Callable[[Tensor | list[Tensor]], Tensor]) -> Tensor:
        """Return the loss of what the network says of images (batch, channels, *spatial); it has its gradients then."""
        for member in self._members:
            member.zero_grad(set_to_none=True)
        parts = images.tensor_split(len(self._members))
        found = list(self._pool.map(self._said, self._members, parts))
        whole = [torch.cat(one).detach().requires_grad_() for one in zip(*found, strict=True)]
        value = loss(whole if len(whole) > 1 else whole[0])
        self.half.scale(value).backward()  # type: ignore[no-untyped-call]
        slopes = zip(*(_gradient(one).tensor_split(len(self._members)) for one in whole), strict=True)
        list(self._pool.map(torch.autograd.backward, found, slopes))
        self._joined()
        return value.detach()

    def _said(self, member: nn.Module, images: Tensor) -> list[Tensor]:
        with torch.autocast(self._device, torch.float16, enabled=self.half.is_enabled()):
            found = member(images)
        return [one.float() for one in ([found] if isinstance(found, Tensor) else found)]

    def _joined(self) -> None:
        """Give the network the gradients of all, and all the mean of their running statistics."""
        with torch.no_grad():
            for own, *others in zip(*(member.parameters() for member in self._members), strict=True):
                for other in others:
                    if own.grad is not None and other.grad is not None:
                        own.grad += other.grad
            for own, *others in self._statistics():
                if own.is_floating_point():
                    own.copy_(torch.stack([own, *others]).mean(0))
        self._alike()

    def _alike(self) -> None:
        """Give twins the running statistics of the network."""
        for own, *others in self._statistics():
            for other in others:
                other.copy_(own)

    def _statistics(self) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(member.buffers() for member in self._members), strict=True)


def _twin(network: nn.Module) -> nn.Module:
    """Return a network with the same weights, in the same memory, and gradients of its own."""
    twin = deepcopy(network)
    for own, other in zip(network.parameters(), twin.parameters(), strict=True):
        other.data = own.data
    return twin


def _gradient(of: Tensor) -> Tensor:
    return torch.zeros_like(of) if of.grad is None else of.grad


def threads_at(threads: int) -> None:
    """Let torch compute in so many threads from here on; as it does already for 0."""
    if threads:
        torch.set_num_threads(threads)


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Let torch compute in so many threads for a while; as it does already for 0."""
    before = torch.get_num_threads()
    threads_at(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
