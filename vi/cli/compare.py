"""Compare finished runs by log p(x) of the same data, and say which is better."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vi.cli.runs import open_run, start, write_arrays
from vi.errors import ConfigurationError, NumericsError

if TYPE_CHECKING:
    from torch import Tensor

    from vi.cli.comparison import Comparison
    from vi.cli.runs import Run
    from vi.data.base import Split
    from vi.evaluation.base import Evaluation
    from vi.evaluation.paired import Scores

_SEEDS = 3  # least number of each method; with 2, intervals of Welch cover 90 to 94 %


class Measuring(NamedTuple):
    """How every run is measured.

    Args:
        evaluation: Gives log p(x) of each datum.
        name: Of the split.
        seed: Of the noise, and of the bits under dynamic binarisation.
        batch_size: Affects only the speed.
        limit: Largest number of data.
    """

    evaluation: "Evaluation"
    name: str
    seed: int
    batch_size: int
    limit: int | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("compare", compare, arguments)


def compare(
    runs: list[str],
    groups: list[list[str]],
    split: Literal["train", "val", "test"],
    limit: int | None,
    batch_size: int,
    seed: int | None,
    device: Literal["auto", "cpu", "gpu"],
    data_dir: str | None,
    out: str,
    plugins: list[str],
    evaluation_samples: int,
    evaluation: dict[str, Any],
) -> None:
    """Compare finished runs datum by datum: which is better, and by how many nats.

    runs=[A,B,...] compares these models. groups=[[A1,A2,A3],[B1,B2,B3]] compares methods, of each
    of which several seeds were trained. What evaluate has measured with the same evaluation, seed
    and data is read from evaluation.npz.
    """
    from vi.config.build import build

    names = distinct(runs, groups)
    facts = _shared_facts(names)
    seed = int(facts.get("seed", 0)) if seed is None else seed
    opened = {
        name: open_run(name, device=device, data_dir=data_dir, plugins=plugins, bits=seed)
        for name in names
    }
    splits = {name: run.split(split).frozen(seed) for name, run in opened.items()}
    _require_comparable(opened, splits)
    made = build("evaluation", evaluation, plugins=plugins)
    how = Measuring(made, split, seed, batch_size, limit)
    columns = {name: _columns(name, opened[name], splits[name], how) for name in names}
    short = _labels(names)
    scores = {short[name]: _scores(name, columns[name], how) for name in names}
    labelled = [[short[name] for name in group] for group in groups]
    compared = _compared(scores, labelled, len(splits[names[0]]))
    print("\n".join([*compared.table(), "", *compared.said]))
    count = len(next(iter(scores.values())).value)
    of = {"split": split, "count": count, "seed": seed, "runs": ", ".join(names)}
    _write(Path(out), compared, of | _of_data(facts))
    arrays = {f"{short[n]}/{k}": v.numpy() for n in names for k, v in columns[n].items()}
    write_arrays(Path(out) / "comparison.npz", arrays)


def distinct(runs: Sequence[str], groups: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of all runs.

    Raises:
        ConfigurationError: There are fewer than two, or a method has fewer than three seeds,
            unless all have one.

    >>> distinct([], [["a"], ["b"], ["c"]])
    ['a', 'b', 'c']
    """
    if bool(runs) == bool(groups):
        raise ConfigurationError(
            "give either runs or groups", hint="runs=[A,B], or groups=[[A1,A2,A3],[B1,B2,B3]]"
        )
    names = list(runs) or [name for group in groups for name in group]
    if len(groups or runs) < 2:
        raise ConfigurationError(
            f"{'groups' if groups else 'runs'} has one entry, which leaves nothing to compare",
            hint="runs=[A,B], or groups=[[A1,A2,A3],[B1,B2,B3]]",
        )
    sizes = [len(group) for group in groups]
    if sizes and min(sizes) < _SEEDS and max(sizes) > 1 or 0 in sizes:
        raise ConfigurationError(
            f"the groups have {', '.join(map(str, sizes))} runs; how much a seed changes is "
            f"known from {_SEEDS} runs of each",
            hint="train more seeds, or compare the models themselves: runs=[A,B,...]",
        )
    return names


def _shared_facts(names: Sequence[str]) -> Mapping[str, Any]:
    """Return the facts of the first run, before one is opened.

    Raises:
        ConfigurationError: A run is given twice.
        DataError: Their data differ.
    """
    from vi.files.model_directory import model_directory
    from vi.files.model_files import read_config
    from vi.files.same_data import require_shared_data

    places = {name: model_directory(name) for name in names}
    for place, times in Counter(place.resolve() for place in map(model_directory, names)).items():
        if times > 1:
            raise ConfigurationError(
                f"{place.parent.name} is given {times} times", hint="give every run once"
            )
    facts = {name: read_config(place)["facts"] for name, place in places.items()}
    require_shared_data(facts)
    return facts[names[0]]


def _require_comparable(opened: "Mapping[str, Run]", splits: "Mapping[str, Split]") -> None:
    from vi.evaluation.comparable import Subject, require_comparable

    first, *others = (Subject(name, opened[name].model, splits[name]) for name in opened)
    for other in others:
        require_comparable(first, other)


def _columns(name: str, run: "Run", split: "Split", how: Measuring) -> "dict[str, Tensor]":
    """Return what is known of every datum: from evaluation.npz, or measured now."""
    from vi.cli.stored_columns import stored_columns
    from vi.evaluation.over_split import measure
    from vi.training.progress_bar import progress_bar

    n = len(split) if how.limit is None else min(how.limit, len(split))
    found = stored_columns(run, how.evaluation, how.name, how.seed, split.spread(n).cpu())
    if found is not None:
        print(f"{name}: read from evaluation.npz")
        return found
    exact = run.model.exact() is not None
    with progress_bar(f"measuring {name}"):
        return measure(
            run.model,
            split,
            run.bound,
            None if exact else how.evaluation,
            seed=how.seed,
            batch_size=how.batch_size,
            limit=how.limit,
            repeats=1,
        ).columns


def _scores(name: str, columns: "Mapping[str, Tensor]", how: Measuring) -> "Scores":
    """Return log p(x) of each datum.

    Raises:
        ConfigurationError: The evaluation does not measure log p(x), or there is one datum only.
        NumericsError: A value is not finite.
    """
    from vi.evaluation.paired import scores

    exact = "log_evidence" in columns
    if not exact and not {"log_likelihood", "standard_error"} <= columns.keys():
        raise ConfigurationError(
            f"{type(how.evaluation).__name__} does not give log p(x) of each datum with its error",
            hint="evaluation=importance_sampling or evaluation=escalating",
        )
    numbers = {} if exact else how.evaluation.summarize(columns)
    found = scores(columns, numbers)
    if len(found.value) < 2:
        raise ConfigurationError("one datum does not compare two models", hint="raise limit")
    bad = ~(found.value.isfinite() & found.error.isfinite())
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        raise NumericsError(
            f"log p(x) of datum {row} of {name} is {found.value[row]:g} ± {found.error[row]:g}",
            hint="python -m vi audit run=... shows why; evaluation_samples=2 or more has an error",
        )
    return found


def _compared(
    scores: "Mapping[str, Scores]", groups: Sequence[Sequence[str]], available: int
) -> "Comparison":
    from vi.cli.comparison import of_methods, of_models

    if not any(len(group) > 1 for group in groups):
        found = of_models(scores, available)
        note = "this compares these models; a claim about a method takes several seeds of each"
        return found._replace(said=[*found.said, f"{note}: groups=[[A1,A2,A3],[B1,B2,B3]]"])
    methods = {
        f"group {number}": {name: scores[name] for name in group}
        for number, group in enumerate(groups, 1)
    }
    return of_methods(methods, available)


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of each path, if these differ; else the paths."""
    last = [Path(name).resolve().name for name in names]
    return dict(zip(names, last if len(set(last)) == len(last) else names, strict=True))


def _of_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key.startswith("data/")}


def _write(folder: Path, compared: "Comparison", facts: Mapping[str, Any]) -> None:
    """Write report.md, evaluation.json and compare.png."""
    from vi.figures.differences import differences_figure
    from vi.figures.save import save_figure
    from vi.files.findings import Finding, add_finding

    picture = folder / "compare.png"
    best, *_ = compared.scores
    rows = {name: (d.value, d.lower, d.upper) for name, d in compared.from_best.items()}
    save_figure(differences_figure(best, rows), picture)
    add_finding(folder, Finding("comparison", facts, compared.numbers(), compared.said, [picture]))
    print(f"written to {folder / 'report.md'}\npicture    {picture}")
