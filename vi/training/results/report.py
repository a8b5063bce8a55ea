"""Closing report of a run, printed to the terminal."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vi.bounds.base import Bound
from vi.config.typed import option, plugins_option, python
from vi.evaluation.reliability import stated, states_evidence, why_not
from vi.training.results.collapse import told_use

_DEBUG = "a debug run only checks that everything works: its numbers mean nothing"


def print_report(
    metrics: Mapping[str, Any],
    run_dir: Path,
    pictures: Sequence[Path],
    bound: Bound,
    plugins: Sequence[str] = (),
    said: Sequence[str] = (),
    *,
    saved: bool,
) -> None:
    """Print the test numbers, the paths of the results, and commands to type next.

    Args:
        metrics: Metrics of the run.
        run_dir: Folder of the run.
        pictures: Paths of the pictures that were written.
        bound: The trained bound, which has its own column if it is not the ELBO.
        plugins: Packages that the run needs.
        said: Sentences of callbacks.
        saved: Whether the model and its data are saved by name, so that commands can load them.
    """
    console = Console(highlight=False, markup=False)  # [..] in a path is not markup
    console.print(_table(metrics, bound))
    told = [why_not(_test(metrics)), told_use(metrics, bound), *said]
    for note in filter(None, [_DEBUG] if metrics.get("debug") else told):
        console.print(f"note     {note}", soft_wrap=True)
    console.print(
        f"{metrics['train/steps']} steps in {metrics['train/seconds']:.1f} s, "
        f"weights: {metrics['weights']}",
        soft_wrap=True,
    )
    for picture in pictures:
        console.print(f"picture  {picture}", soft_wrap=True)
    console.print(f"report   {run_dir / 'report.md'}", soft_wrap=True)
    console.print(f"run      {run_dir}\n\nnext:", soft_wrap=True)
    for command in next_commands(run_dir, plugins, saved=saved):
        console.print(f"  {command}", soft_wrap=True)


def next_commands(run_dir: Path, plugins: Sequence[str] = (), *, saved: bool) -> list[str]:
    """Return commands for a finished run.

    ``evaluate`` and ``sample`` are listed only if the model and its data are saved by name.
    """
    program, run = python(), shlex.quote(str(run_dir))
    typed = " ".join([option("run", run_dir), *plugins_option(plugins)])
    after = [
        f"{program} -m vi evaluate {typed}",
        f"{program} -m vi sample {typed} count=64",
    ]
    return [f"{program} -m tensorboard.main --logdir {run}", *(after if saved else [])]


def _table(metrics: Mapping[str, Any], bound: Bound) -> Table:
    """Return the closing table, in nats per datum."""
    title = f"test set, {metrics['test/count']} data, nats per datum"
    table = Table(title=f"DEBUG: {title}" if metrics.get("debug") else title)
    named = {"elbo": "elbo", "kl": "kl", "reconstruction": "reconstruction"}
    if not bound.is_elbo and "test/bound" in metrics:
        named = {"bound": bound.title} | named
    for column in (*named.values(), "log p(x)"):
        table.add_column(column, justify="right")
    table.add_row(*(f"{metrics[f'test/{k}']:.3f}" for k in named), _log_likelihood(metrics))
    return table


def _log_likelihood(metrics: Mapping[str, Any]) -> str:
    """Return log p(x) with its standard error and number of samples, or - if not measured."""
    numbers = _test(metrics)
    if not states_evidence(numbers):
        return "-"
    count = None if "log_evidence" in numbers else numbers.get("log_likelihood_samples")
    return stated(numbers) + ("" if count is None else f" (K={count})")


def _test(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("test/"): v for name, v in metrics.items() if name[:5] == "test/"}
