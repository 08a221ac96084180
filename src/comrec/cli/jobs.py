"""Many files, one after the other: a bad one stops no other."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TypeVar

from comrec.cli import paths, terminal
from comrec.cli.paths import Job, Plan
from comrec.cli.process import Ended
from comrec.progress import progress

T = TypeVar("T")
R = TypeVar("R")


def add_arguments(verb: argparse.ArgumentParser, quiet: str) -> None:
    """Declare what all commands that write files have.

    Args:
        quiet: help of --quiet.
    """
    verb.add_argument(
        "--preserve", action="store_true", help="give output files the times of their inputs"
    )
    verb.add_argument(
        "--no-overwrite", action="store_true", help="fail where the output file exists"
    )
    verb.add_argument(
        "--json", action="store_true", help="print one JSON object per file on stdout"
    )
    verb.add_argument("--quiet", action="store_true", help=quiet)


def add_untrusted(verb: argparse.ArgumentParser) -> None:
    """Declare --untrusted."""
    verb.add_argument(
        "--untrusted",
        action="store_true",
        help="read files in a process of its own, with limits of memory and time",
    )


def run(
    plan: Plan, work: Callable[[Job], R], show: Callable[[R], None], label: str, quiet: bool
) -> int:
    """`each` of a plan's jobs; the exit code: 1 where one failed or was refused."""
    failures = refused(plan) + each(
        plan.jobs,
        work,
        lambda job: paths.label(job.source),
        show,
        total=len(plan.jobs),
        label=label,
        quiet=quiet,
    )
    return 1 if failures else 0


def refused(plan: Plan) -> int:
    """Report the inputs that a plan leaves out; how many there are."""
    for reason in plan.refused:
        terminal.tell(f"comrec: {reason}")
    return len(plan.refused)


def each(
    items: Iterable[T],
    work: Callable[[T], R],
    name: Callable[[T], str],
    show: Callable[[R], None] = lambda _: None,
    *,
    total: int = 0,
    label: str = "",
    quiet: bool = False,
) -> int:
    """Do the work of each item; failures are reported on stderr, one line each.

    Args:
        work: may raise anything. `terminal.StdoutError` alone, and what ends the process, stop it.
        name: of an item, in reports of errors that name no file.
        show: prints the result. Where standard output takes no more, that is reported once, and
            the other items are done.
        total: number of items, for the progress bar.
        label: text before the progress bar; none without it.
        quiet: no progress bar.
    Returns:
        The number of failures.
    """
    failures = 0
    lost: terminal.StdoutError | None = None
    for item in progress(items, total, label, quiet or not label):
        try:
            result = work(item)
        except (terminal.StdoutError, KeyboardInterrupt, Ended):
            raise
        # Of Rust libraries, a panic is no Exception; a plug-in may even raise SystemExit.
        except BaseException as error:
            failures += 1
            terminal.failed(error, name(item))
            continue
        try:
            show(result)
        except terminal.StdoutError as error:
            lost = error
    if lost is not None and lost.reason is not None:
        failures += 1
        terminal.tell(f"comrec: {lost.reason}")
    return failures
