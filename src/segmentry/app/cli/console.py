"""What the commands say: results on standard output, messages and progress on standard error."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentry.run import Progress

__all__ = ["complain", "counted", "heed_interrupts", "note", "print_json", "progress_bar", "set_up", "show_table"]

#: When the user asked to stop.
_interrupts: list[float] = []


def set_up() -> None:
    """Send the messages of the package to standard error, as plain lines."""
    logger = logging.getLogger("segmentry")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("segmentry: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def note(text: str) -> None:
    """Say something on standard error."""
    print(f"segmentry: {text}", file=sys.stderr)


def complain(text: str) -> None:
    """Say on standard error what went wrong, in one line."""
    print(f"segmentry: error: {text}", file=sys.stderr)


def print_json(content: Any) -> None:
    """Print plain data as JSON; numbers that JSON does not have become null."""
    print(json.dumps(_finite(content), indent=2, ensure_ascii=False))


def counted(n: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "object"), counted(2000, "object")
    ('1 object', '2,000 objects')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table as wide as the terminal, or as its content where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False) if sys.stdout.isatty() else Console(markup=False, width=140)
    console.print(table)


def heed_interrupts() -> None:
    """Have an interrupt stop the work at its next step, even one that Python loses, as it does within finalizers."""

    def stop(_signal: int, _frame: object) -> None:
        _interrupts.append(time.monotonic())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[Path], Progress]]:
    """Show a bar for the inputs and one for the step at work, where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        inputs = bar.add_task("inputs", total=total, visible=total > 1)
        step = bar.add_task("", total=1.0)
        begun = 0

        def for_input(path: Path) -> Callable[[str, float], None]:
            nonlocal begun
            bar.update(inputs, completed=begun, description=path.name)
            begun += 1
            return update

        def update(what: str, share: float) -> None:
            if _interrupts:
                raise KeyboardInterrupt
            bar.update(step, description=what, completed=share)

        yield for_input


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
