"""Make a network ready for whole numbers of 8 bit, and measure what that costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError, MissingExtraError
from segmentry.learn.engines import engine
from segmentry.learn.examples import Examples
from segmentry.learn.int8 import input_ranges
from segmentry.learn.network_file import Network, load_network, save_network
from segmentry.learn.onnx_graph import with_weights
from segmentry.network_scores import score_of

__all__ = ["make_int8", "ready_for_int8"]

#: Tiles on which ranges are measured.
TILES = 24


def ready_for_int8(network: Network, examples: Examples) -> tuple[Network, float, float]:
    """Return a network that can be run in 8 bit, and its scores in float32 and in 8 bit.

    Parameters
    ----------
    network
        With a graph.
    examples
        Labelled images: ranges are measured on them, and scores.

    Raises
    ------
    InputError
        When the network has no graph, or the labels are not what it tells.
    MissingExtraError
        When OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("running a network in 8 bit", "openvino") from error
    if not network.graph:
        raise InputError("the network has no graph, so that OpenVINO can't run it")
    _check(network, examples)
    run, seen = engine(network, "openvino", "cpu"), list[NDArray[np.float32]]()

    def watched(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(seen) < TILES:
            seen.append(batch.copy())
        return run(batch)

    before = score_of(network, watched, examples)
    model = openvino.Core().read_model(with_weights(network.graph, network.arrays))
    ready = replace(network, ranges=input_ranges(model, seen))
    after = score_of(ready, engine(ready, "openvino", "cpu", precision="int8"), examples)
    card = {**network.card, "int8": {"images": len(examples), "score": after, "score_in_float32": before}}
    return replace(ready, card=card), before, after


def _check(network: Network, examples: Examples) -> None:
    kinds = len(network.names)
    for i, name in enumerate(examples.names):
        most = int(np.asarray(examples[i].labels).max(initial=0))
        if network.representation.task == "semantic" and most >= kinds:
            raise InputError(f"{name} has the label {most}; the network tells {kinds} classes, 0 to {kinds - 1}")


def make_int8(
    source: Path, examples: Examples, out: Path, most_lost: float, overwrite: bool, say: Callable[[str], None]
) -> None:
    """Write a network that can be run in 8 bit to a file, if its score keeps.

    Parameters
    ----------
    most_lost
        By how much the score may be less in 8 bit.
    say
        Called with the scores.

    Raises
    ------
    InputError
        When it loses more, or as :func:`ready_for_int8` and :func:`segmentry.learn.network_file.load_network`.
    """
    ready, before, after = ready_for_int8(load_network(source), examples)
    if before - after > most_lost:
        raise InputError(
            f"in 8 bit the score is {after:.4f}, in float32 {before:.4f}: more than {most_lost:g} is lost, and nothing"
            " is written; --most-lost allows more"
        )
    save_network(out, ready, overwrite)
    say(f"{out}: score {after:.4f} in 8 bit, {before:.4f} in float32, on {len(examples)} images")
