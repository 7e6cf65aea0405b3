"""The command line. This module and the commands import nothing heavy, so that ``--help`` answers at once."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import App, CycloptsError

from segmentry import __version__
from segmentry.app.cli import (
    about,
    counting,
    files,
    judge,
    kinds,
    measuring,
    segment,
    simulating,
    training,
    trials,
    weights,
)
from segmentry.app.cli.console import complain, heed_interrupts, set_up
from segmentry.errors import Cancelled, ParameterError, SegmentryError, UnknownNameError, one_line

__all__ = ["app", "main"]

DONE, FAILED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

app = App(
    name="segmentry",
    version=__version__,
    help=(
        "Images into objects, objects into numbers.\n\n"
        "segmentry demo                     shows what it does\n"
        "segmentry segment IMAGE -o OUT     does it to your image\n"
        "segmentry methods [NAME]           lists what can be done, or explains one way"
    ),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
for command in (
    segment.segment,
    about.methods,
    about.metrics,
    about.properties,
    judge.evaluate,
    measuring.measure,
    training.train,
    kinds.classify,
    counting.count,
    weights.weights,
    files.convert,
    files.clean,
    files.check,
    simulating.simulate,
    trials.degrade,
    segment.replay,
    segment.demo,
    about.doctor,
):
    app.command(command)
app.register_install_completion_command()


def main() -> None:
    """Run the command that the process was started with, and leave with its exit code.

    0 done, 1 failed, 2 wrong usage, 3 some inputs failed, 130 interrupted.
    """
    heed_interrupts()
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # At once: all is written, and to take the interpreter apart takes long where a network ran. It would also die of an
    # interrupt that arrived inside exec(), which it remembers though it was handled.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; every error is one line on standard error."""
    set_up()
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value", help_on_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except CycloptsError as error:
        complain(f"{one_line(error)} Try: segmentry --help")
        return WRONG_USAGE
    except (ParameterError, UnknownNameError) as error:
        complain(one_line(error))
        return WRONG_USAGE
    except (KeyboardInterrupt, Cancelled):
        complain("interrupted; what was half done is removed")
        return INTERRUPTED
    except SegmentryError as error:
        complain(one_line(error, 600))
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone; nothing may be written to it any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except MemoryError:
        complain("not enough memory: use a smaller image, or .zarr, which is read piece by piece")
        return FAILED
