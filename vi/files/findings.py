"""What commands found about a run: ``evaluation.json`` and ``report.md`` beside its model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vi.errors import CheckpointError
from vi.files.atomic import write_atomically
from vi.files.numbers import Number
from vi.files.plain_files import Unreadable, read_json
from vi.files.report import report


@dataclass(frozen=True)
class Finding:
    """What one command found about a run.

    Args:
        title: A finding replaces an earlier one of the same title.
        facts: What was measured: split, number of data, binarisation, seed.
        numbers: The numbers, by which the finding is compared.
        said: Sentences of the verdict.
        pictures: Files in the folder of the run.
    """

    title: str
    facts: Mapping[str, Any]
    numbers: Sequence[Number] = ()
    said: Sequence[str] = ()
    pictures: Sequence[Path] = field(default=())


def add_finding(directory: Path, finding: Finding, path: Path | None = None) -> Path:
    """Add a finding to ``evaluation.json``, and write ``report.md`` of the run anew.

    Args:
        directory: The run directory.
        finding: Takes the place of an earlier one with the same title.
        path: Another JSON file; the report then stays as it is.

    Returns:
        The path of the JSON file.

    Raises:
        CheckpointError: The file that is there is not one of findings.
        RunDirectoryError: A file cannot be written.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = add_finding(place, Finding("elbo", {"split": "test"}, [Number("elbo", -2.5)]))
    >>> findings(place)["elbo"]["numbers"]
    {'elbo': {'value': -2.5, 'unit': 'nats per datum'}}
    """
    place = path or directory / "evaluation.json"
    known = findings(directory, place)
    whole = known | {finding.title: _plain(finding, directory)}
    write_atomically(place, (json.dumps(whole, indent=2, allow_nan=False) + "\n").encode())
    if path is None:
        write_report(directory)
    return place


def findings(directory: Path, path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is known of a run by title; empty if nothing was measured.

    Raises:
        CheckpointError: The file is damaged, or not one of findings.
    """
    place = path or directory / "evaluation.json"
    if not place.exists():
        return {}
    try:
        found = read_json(place)
    except Unreadable as error:
        raise _not_ours(place, str(error)) from None
    if not (isinstance(found, dict) and all(map(_is_finding, found.values()))):
        raise _not_ours(place, "has other contents than findings")
    return found


def write_report(directory: Path) -> Path:
    """Write ``report.md``: the results of training and all findings, with their pictures."""
    path = directory / "report.md"
    try:
        metrics = read_json(directory / "metrics.json")
    except Unreadable:  # of a run that did not end
        metrics = {}
    text = report(directory, metrics if isinstance(metrics, dict) else {}, findings(directory))
    write_atomically(path, text.encode())
    return path


def _plain(finding: Finding, directory: Path) -> dict[str, Any]:
    """Return the finding as JSON has it, without what is not known."""
    return {
        "facts": dict(finding.facts),
        "numbers": {number.name: number.known() for number in finding.numbers},
        "said": list(finding.said),
        "pictures": [p.relative_to(directory).as_posix() for p in finding.pictures],
    }


def _is_finding(value: Any) -> bool:
    parts = {"facts": dict, "numbers": dict, "said": list, "pictures": list}
    return isinstance(value, dict) and all(
        isinstance(value.get(name), kind) for name, kind in parts.items()
    )


def _not_ours(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} {why}", hint="move it away, and measure again")
