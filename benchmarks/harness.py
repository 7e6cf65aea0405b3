"""Time two ways of doing one thing in one process, turn by turn, and the peak memory of whole processes."""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
    """Return a line of the table: seconds of both ways (medians) and their memory, the ratio, and the agreement."""
    agreement = case.agree(case.ours(), case.theirs())
    memory = [_peak(case.ours), _peak(case.theirs)]
    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(_seconds(case.ours))
        theirs.append(_seconds(case.theirs))
    a, b = statistics.median(ours), statistics.median(theirs)
    return (
        f"| {case.name} | {a:.3g} s | {memory[0]} | {case.usual} | {b:.3g} s | {memory[1]} | **{b / a:.1f}** "
        f"| {agreement} |"
    )


def _peak(work: Callable[[], Any]) -> str:
    """Return the most memory in MB that a call holds beyond what was held before; Linux alone can tell."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return "?"
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # memory that was freed but kept would hide what is taken now
    reset.write_text("5")
    before = _status("VmRSS")
    work()
    return f"{max(_status('VmHWM') - before, 0):.0f} MB"


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


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
