"""Time two ways of doing one thing in one process, turn by turn, and the peak memory of whole processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REPEATS = 5


@dataclass(frozen=True)
class Case:
    """One thing to do: our way, the usual way, and what must hold of their results."""

    name: str
    usual: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    agree: Callable[[Any, Any], str]


def row(case: Case) -> str:
    """Return a line of the table: seconds of both ways (medians), the ratio, and how far the results agree."""
    agreement = case.agree(case.ours(), case.theirs())
    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(_seconds(case.ours))
        theirs.append(_seconds(case.theirs))
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"| {case.name} | {a:.4g} s | {case.usual} | {b:.4g} s | **{b / a:.1f}** | {agreement} |"


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def peak_memory(code: str) -> tuple[float, float]:
    """Return the peak resident memory in MB and the seconds of a whole Python process that runs `code`."""
    tail = "\nimport resource, json, time\nprint(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])), time.perf_counter() - begun
