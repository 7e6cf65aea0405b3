"""How long a step of a training takes on a CPU, with batches in two parts side by side and in one: training.py.

The network for nuclei (``shipped_networks.py``) learns from simulated scenes, four crops of 256 by 256 pixels a step.
Both are timed turn by turn, ten steps each, crops made ahead as in any training; medians of five turns, wall seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from shipped_networks import PLANS, simulated

from segmentry.learn.examples import Examples
from segmentry.learn.networks import crew
from segmentry.learn.networks.fitting import Fitting, chosen_device
from segmentry.learn.networks.objective import Objective
from segmentry.learn.patches import Patches
from segmentry.learn.plan import planned
from segmentry.network_training import lesson

SCENES, STEPS, TURNS = 12, 10, 5
PLAN = {**PLANS["nuclei"], "steps": 10**6, "patch": [256, 256]}


def main() -> None:
    """Print the seconds of a step of both, and their ratio."""
    given = lesson(Examples([str(i) for i in range(SCENES)], simulated), ("background", "nucleus"), "instances")
    plan = planned(given.found, "outlined").changed(PLAN)
    representation = plan.representing()
    heads = representation.heads(given.found.names, 2)
    objective = Objective(heads, plan.loss, {})

    def steps(parts: int) -> Iterator[float]:
        crew.PARTS = parts
        patches = Patches(given.learned, given.places, plan.foreground, plan.scaling)
        fitting = Fitting(plan, heads, representation, patches, lambda _: 0.0, chosen_device("cpu"))
        batches = fitting._batches()
        while True:
            with fitting._crew.at_work():
                begun = time.perf_counter()
                for _ in range(STEPS):
                    fitting._learn(objective, *next(batches))
                yield (time.perf_counter() - begun) / STEPS

    ways: dict[str, Callable[[], float]] = {f"{n} part{'s' * (n > 1)}": steps(n).__next__ for n in (1, 2)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, step in ways.items():
            taken = step()
            if turn:
                times[name].append(taken)
    one, two = (statistics.median(found) for found in times.values())
    print(f"whole batches {one:.3f} s, in two parts {two:.3f} s: {one / two:.2f} times as fast")


if __name__ == "__main__":
    main()
