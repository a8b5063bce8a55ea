"""Prove that p(x) of a finished run is a density before its number is compared."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from vi.cli.runs import Run, open_run, start

if TYPE_CHECKING:
    from vi.auditing.audit import Audit
    from vi.files.findings import Finding

FAILED = 5
"""The exit code if a check failed: a number is not what it is called."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("audit", audit_run, arguments)


def audit_run(
    run: str,
    split: Literal["train", "val", "test"],
    limit: int,
    evaluations: int,
    seed: int | None,
    device: Literal["auto", "cpu", "gpu"],
    data_dir: str | None,
    out: str | None,
    plugins: list[str],
) -> None:
    """Prove that p(x) is a density and its numbers are what they are called; 5 if a check fails.

    One line for each check: ✓ passed, ✗ failed, – does not apply, with what was measured.
    """
    from vi.auditing.audit import audit
    from vi.auditing.claims import claims_of
    from vi.training.progress_bar import progress_bar

    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    opened.split(split)  # refuses one that there is not
    with progress_bar("auditing"):
        found = audit(
            opened.model,
            opened.data,
            opened.bound,
            split=split,
            seed=opened.seed if seed is None else seed,
            limit=limit,
            evaluations=evaluations,
            claims=claims_of(opened.directory),
            data_seed=opened.seed,
        )
    print(found)
    path = opened.record(_finding(found, opened, split), out)
    print(f"written to {path}")
    if found.failed:
        sys.exit(FAILED)


def _finding(found: "Audit", opened: Run, split: str) -> "Finding":
    from vi.files.findings import Finding
    from vi.files.numbers import Number

    numbers = [
        Number(title, verdict.number, verdict.unit)
        for title, verdict in found.verdicts.items()
        if verdict.number is not None
    ]
    said = [found.sentence(), *(f"- {line}" for line in found.lines())]
    return Finding(f"audit on {split}", {"split": split} | dict(opened.data.facts), numbers, said)
