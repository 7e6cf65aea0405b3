"""The training of a network, step by step: batches made ahead, averaged weights, looks at what is held out.

Each batch follows from the seed and its number, so that a training that was cut off goes on as it would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segmentry.errors import InputError, ParameterError
from segmentry.learn.architecture import Architecture
from segmentry.learn.networks.augmentation import augmented, movement
from segmentry.learn.networks.build import build
from segmentry.learn.networks.checkpoint import load_checkpoint, save_checkpoint
from segmentry.learn.networks.crew import Crew
from segmentry.learn.networks.memory import keep_memory
from segmentry.learn.networks.objective import Objective
from segmentry.learn.patches import Patches
from segmentry.learn.plan import Plan
from segmentry.learn.prediction import Scores
from segmentry.learn.representation import Head, Representation

__all__ = ["Fitting", "chosen_device", "scores_of"]

#: Batches that are made ahead.
AHEAD = 3
#: Batches that are looked at to count the pixels of each class.
COUNTED = 8

#: From a network that is ready to run to how good it is on what was held out: the more the better.
Judge: TypeAlias = Callable[[Scores], float]
#: Called with a row of the history.
Tell: TypeAlias = Callable[[Mapping[str, Any]], None]


def chosen_device(name: str = "auto") -> torch.device:
    """Return the device that a name means: ``auto`` is a GPU where there is one.

    Raises
    ------
    ParameterError
        When a GPU is asked for that is not there, or the name means nothing.
    """
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in have.items() if there))
    kind = name.split(":", maxsplit=1)[0]
    if kind not in have:
        raise ParameterError(f"device {name!r} is none of auto, {', '.join(have)}")
    if not have[kind] or (kind == "cuda" and ":" in name and int(name[5:]) >= torch.cuda.device_count()):
        there = ", ".join(k for k, v in have.items() if v)
        raise ParameterError(f"device {name} is not there; this machine has {there}: leave it out to use the best")
    return torch.device(name)


@dataclass
class Fitting:
    """A training.

    Parameters
    ----------
    plan, heads, representation
        What is trained, and how.
    patches
        What is learned from.
    judge
        Tells how good a network is on what was held out.
    device
        Where it is computed.
    start
        Weights to begin with; those that the network has none of, or of another shape, begin by chance.
    """

    plan: Plan
    heads: tuple[Head, ...]
    representation: Representation
    patches: Patches
    judge: Judge
    device: torch.device = field(default_factory=chosen_device)
    start: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan = self.plan
        keep_memory()
        self.network = _begun(build(plan.architecture, plan.seed), self.start).to(self.device)
        self._format = torch.channels_last if plan.architecture.dimensions == 2 else torch.contiguous_format
        _laid_out(self.network, self._format)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.best: dict[str, Tensor] = self.average
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self._crew = Crew(self.network, plan.batch)

    def resume(self, checkpoint: Path) -> None:
        """Take up a training where a file says that it was.

        Raises
        ------
        InputError
            When it can't be read, or is of another plan.
        """
        save = load_checkpoint(checkpoint, self.plan)
        self.network.load_state_dict(save.weights)
        self.average = {name: value.to(self.device) for name, value in save.average.items()}
        self.best = {name: value.to(self.device) for name, value in save.best.items()}
        for parameter, (first, second) in zip(self.network.parameters(), save.moments, strict=True):
            state = {"step": torch.tensor(float(save.step)), "exp_avg": first, "exp_avg_sq": second}
            self.optimizer.state[parameter] = {k: v.to(self.device) if v.ndim else v for k, v in state.items()}
        self.step, self.history = save.step, save.history

    def run(self, checkpoint: Path | None = None, tell: Tell = lambda _: None) -> dict[str, NDArray[Any]]:
        """Train to the end of the plan, or until nothing has become better for as long as it says.

        Parameters
        ----------
        checkpoint
            File that holds all of the training after each look.
        tell
            Called after each look.

        Returns
        -------
        The weights that were best, by their names.

        Raises
        ------
        InputError
            When the loss is not a finite number any more.
        """
        objective = Objective(self.heads, self.plan.loss, self._counts())
        started, losses = time.monotonic(), []
        before = self.history[-1]["seconds"] if self.history else 0.0
        with self._crew.at_work():
            for images, wanted in self._batches():
                losses.append(self._learn(objective, images, wanted))
                if self.step % self.plan.check_every and self.step < self.plan.steps:
                    continue
                loss = float(np.mean([float(one) for one in losses]))
                if not math.isfinite(loss):
                    raise InputError(
                        f"the loss is {loss} at step {self.step}: lower learning_rate (now {self.plan.learning_rate:g})"
                    )
                losses = []
                with self._crew.at_rest():
                    self._look(loss, before + time.monotonic() - started)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, self)
                tell(self.history[-1])
                if self._stale():
                    break
        return {name: value.cpu().numpy() for name, value in self.best.items()}

    def _learn(self, objective: Objective, images: Tensor, wanted: Mapping[str, Tensor]) -> Tensor:
        """Change the weights by one batch; return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        loss = self._crew.gradients(images, partial(objective, wanted=wanted))
        half = self._crew.half
        half.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        half.step(self.optimizer)
        half.update()
        self.step += 1
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)
        return loss

    def _rate(self) -> float:
        """Return the learning rate of the step at hand: it rises, then falls as a cosine does."""
        rise = max(1, round(self.plan.warm_up * self.plan.steps))
        if self.step < rise:
            return self.plan.learning_rate * (self.step + 1) / rise
        done = (self.step - rise) / max(1, self.plan.steps - rise)
        return self.plan.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))

    def _look(self, loss: float, seconds: float) -> None:
        """Judge the averaged weights on what was held out, and write a row of the history."""
        score = self.judge(_scores(self.plan.architecture, self.average, self.device))
        before = max((row["score"] for row in self.history), default=-1.0)
        better = score > before
        if score >= before:  # of weights that are as good, those that learned longer
            self.best = {name: value.clone() for name, value in self.average.items()}
        row = {"step": self.step, "loss": loss, "score": score, "rate": self._rate(), "seconds": seconds}
        self.history.append({**row, "best": better})

    def _stale(self) -> bool:
        since = next((i for i, row in enumerate(reversed(self.history)) if row["best"]), 0)
        return since >= self.plan.patience

    def _batches(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Yield batches from the step at hand on, made by another thread."""
        numbers = iter(range(self.step, self.plan.steps))
        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[tuple[Tensor, dict[str, Tensor]]]] = []
            try:
                for number in numbers:
                    waiting.append(pool.submit(self.batch, number))
                    if len(waiting) > AHEAD:
                        yield self._sent(waiting.pop(0).result())
                while waiting:
                    yield self._sent(waiting.pop(0).result())
            finally:
                for one in waiting:
                    one.cancel()

    def _sent(self, batch: tuple[Tensor, dict[str, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        images, wanted = batch
        images = images.to(self.device).to(memory_format=self._format)
        return images, {name: target.to(self.device) for name, target in wanted.items()}

    def batch(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a batch: images (batch, channels, *patch), and a map for each head."""
        rng = np.random.default_rng([self.plan.seed, number])
        patch, augmentation = self.plan.patch, self.plan.augmentation
        images, maps = [], []
        for _ in range(self.plan.batch):
            place = self.patches.draw(rng, patch)
            move = movement(augmentation, patch, place.spacing, rng)
            pixels, labels = self.patches.read(place, move.window)
            image, told = augmented(pixels, labels, patch, place.spacing, augmentation, rng, move)
            images.append(image)
            maps.append(self.representation.encode(told.numpy(), place.spacing))
        wanted = {h.name: torch.from_numpy(np.stack([m[h.name] for m in maps])) for h in self.heads}
        return torch.stack(images), wanted

    def _counts(self) -> dict[str, list[int]]:
        """Return how many pixels of each class a few batches have, where the loss asks."""
        if self.plan.loss.weights != "balanced":
            return {}
        found = {h.name: np.zeros(h.channels, np.int64) for h in self.heads if h.kind == "classes"}
        for number in range(COUNTED):
            _, wanted = self.batch(self.plan.steps + number)
            for name, known in found.items():
                classes = wanted[name].numpy()
                np.add(known, np.bincount(classes[classes >= 0], minlength=len(known)), out=known)
        return {name: counts.tolist() for name, counts in found.items()}


def _begun(network: nn.Module, start: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Return a network with those of some weights that fit it."""
    own = network.state_dict()
    for name, value in own.items():
        if name in start and start[name].shape == tuple(value.shape):
            value.copy_(torch.from_numpy(np.array(start[name])))
    return network


def _laid_out(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Return a network with its weights laid out in memory as its images are."""
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return network


def scores_of(architecture: Architecture, weights: Mapping[str, NDArray[Any]], device: torch.device) -> Scores:
    """Return a network with some weights as a function of (batch, channels, *spatial) numbers."""
    return _scores(architecture, {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, device)


def _scores(architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device) -> Scores:
    network = build(architecture)
    network.load_state_dict(dict(weights))
    network.to(device).eval()

    def scores(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = network(torch.from_numpy(batch).to(device))
            assert isinstance(found, Tensor)
            return np.ascontiguousarray(found.float().cpu().numpy())

    return scores
