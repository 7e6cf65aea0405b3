"""The file that holds all of a training, so that it can go on: arrays and JSON, from which no code is ever run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segmentry.errors import InputError, OutputError, one_line
from segmentry.io import written_whole
from segmentry.learn.plan import Plan

if TYPE_CHECKING:
    from segmentry.learn.networks.fitting import Fitting

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_KEY = "segmentry training"


@dataclass(frozen=True)
class Checkpoint:
    """A training that was cut off: where it was, and all numbers that it goes on from."""

    step: int
    history: list[dict[str, Any]]
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: list[tuple[Tensor, Tensor]]


def save_checkpoint(path: Path, fitting: Fitting) -> None:
    """Write a training to a file; if that fails, the file that was there stays.

    Raises
    ------
    OutputError
        When it can't be written, as on a full disk.
    """
    from safetensors.numpy import save

    parts = {"weights": fitting.network.state_dict(), "average": fitting.average, "best": fitting.best}
    arrays = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    for i, parameter in enumerate(fitting.network.parameters()):
        state = fitting.optimizer.state[parameter]
        arrays |= {f"first.{i}": state["exp_avg"], f"second.{i}": state["exp_avg_sq"]}
    said = {"step": fitting.step, "history": fitting.history, "plan": fitting.plan.model_dump(mode="json")}
    plain = {name: np.asarray(value.detach().cpu().numpy(), order="C") for name, value in arrays.items()}
    try:
        with written_whole(path, overwrite=True) as aside:
            aside.write_bytes(save(plain, {_KEY: json.dumps(said)}))
    except OSError as error:
        raise OutputError(
            f"the training can't be saved to {path}: {one_line(error)}; make room and go on with --resume"
        ) from error


def load_checkpoint(path: Path, plan: Plan) -> Checkpoint:
    """Read a training.

    Raises
    ------
    InputError
        When there is none, it is damaged, or of another plan.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"there is no training to go on with: {path} does not exist")
    try:
        with safe_open(path, framework="numpy") as opened:
            said = json.loads((opened.metadata() or {})[_KEY])
            arrays = {name: torch.from_numpy(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
        found = {
            part: {n.removeprefix(f"{part}."): a for n, a in arrays.items() if n.startswith(f"{part}.")}
            for part in ("weights", "average", "best", "first", "second")
        }
        moments = [(found["first"][str(i)], found["second"][str(i)]) for i in range(len(found["first"]))]
        saved = Checkpoint(said["step"], said["history"], found["weights"], found["average"], found["best"], moments)
        other = Plan.from_dict(said["plan"]).model_dump(mode="json")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no training, or it is damaged: {one_line(error)}") from error
    mine = plan.model_dump(mode="json")
    changed = [key for key in mine if mine[key] != other[key]]
    if changed:
        raise InputError(f"{path} is a training by another plan: {', '.join(changed)} differ; start again without it")
    return saved
