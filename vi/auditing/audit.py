"""All checks of an audit, and what they say together."""

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from typing import NamedTuple

import torch

from vi.auditing import checks as folder
from vi.auditing.check import Check, Outcome, Verdict, not_applicable
from vi.auditing.subject import Claim, Subject
from vi.bounds.base import Bound
from vi.bounds.elbo import ELBO, LogWeightELBO
from vi.data.base import DataSet, LoadedData
from vi.data.loading import loaded
from vi.errors import ConfigurationError, ViError, require_positive
from vi.evaluation.over_split import evaluating
from vi.inputs import as_it_is
from vi.models.base import LatentVariableModel
from vi.progress import watched

__all__ = ["audit", "Audit"]


class Audit(NamedTuple):
    """The verdict of every check.

    ``print(audit)`` gives a line for each, and a sentence on all of them.

    Args:
        verdicts: The verdict of each check by its title.
        proves: What each check proves, by its title.
    """

    verdicts: dict[str, Verdict]
    proves: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether no check failed, and some check could be applied."""
        return not self.failed and any(v.outcome is Outcome.PASSED for v in self.verdicts.values())

    @property
    def failed(self) -> list[str]:
        """The titles of the checks that failed."""
        return [t for t, v in self.verdicts.items() if v.outcome is Outcome.FAILED]

    def lines(self) -> list[str]:
        """Return a line for each check, with its number and its tolerance."""
        width = max(map(len, self.verdicts))
        return [f"{_line(title, verdict, width)}" for title, verdict in self.verdicts.items()]

    def sentence(self) -> str:
        """Return what the verdicts say together."""
        counts = [sum(v.outcome is o for v in self.verdicts.values()) for o in Outcome]
        ran = counts[0] + counts[1]
        if self.failed:
            unproved = "; ".join(f"not proved {self.proves[title]}" for title in self.failed)
            return f"{counts[1]} of {ran} checks failed; do not compare its numbers: {unproved}"
        if not counts[0]:
            return "no check could be applied: nothing is proved"
        return f"{counts[0]} of {ran} checks passed ({counts[2]} do not apply)"

    def __str__(self) -> str:
        return "\n".join([*self.lines(), self.sentence()])


def _line(title: str, verdict: Verdict, width: int) -> str:
    measured = ""
    if verdict.number is not None and verdict.tolerance is not None:
        sign = "=" if verdict.tolerance == 0 else "≤"
        asked = f"asked {sign} {verdict.tolerance:.2g}"
        measured = f" ({verdict.number:.2g} {verdict.unit}, {asked})"
    return f"{verdict.outcome.value} {title:{width}}  {verdict.said}{measured}"


def every_check() -> list[Check]:
    """Return one check of each class in ``vi/auditing/checks``, in the order of their modules.

    >>> [check.title for check in every_check() if check.title.startswith("a value")]
    ['a value, not a surrogate']
    """
    found: list[type[Check]] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(folder.__path__)):
        members = vars(importlib.import_module(f"{folder.__name__}.{module}")).values()
        found += [
            m
            for m in members
            if inspect.isclass(m)
            and issubclass(m, Check)
            and not inspect.isabstract(m)
            and m.__module__ == f"{folder.__name__}.{module}"
        ]
    return [check() for check in found]


def audit(
    model: LatentVariableModel,
    data: DataSet | LoadedData,
    bound: Bound | None = None,
    *,
    split: str = "test",
    seed: int = 0,
    limit: int = 100,
    evaluations: int = 300_000,
    claims: Sequence[Claim] = (),
    data_seed: int | None = None,
    checks: Sequence[Check] | None = None,
) -> Audit:
    """Prove that p(x) is a density and that its numbers are what they are called.

    The numbers of a run are computed again where they are given as ``claims``; see
    ``vi.auditing.claims.claims_of``.

    Args:
        model: Any model, also one of your own; put in evaluation mode while this runs.
        data: A data set, loaded or not.
        bound: The bound whose values are reported; the ELBO if not given.
        split: The split whose numbers are reported.
        seed: Seed of the noise.
        limit: Largest number of data that a check of the model reads.
        evaluations: Largest number of decoder evaluations by which one number is computed again.
        claims: Numbers that were stated, which are computed again.
        data_seed: Seed with which the data are loaded, or were; ``seed`` if not given.
        checks: The checks to run; all that there are if not given.

    Returns:
        A verdict for each check. ``passed`` is false if one of them failed.

    Raises:
        ConfigurationError: ``limit`` or ``evaluations`` is not positive.
        DataError: The data cannot be loaded.

    >>> import vi
    >>> from vi.auditing.checks.evidence import Evidence
    >>> from vi.data.base import LoadedData, Values
    >>> model = vi.PPCA((4,), latent_dim=2)
    >>> data = LoadedData(Values(model.sample(20)), None, Values(model.sample(20)), (4,))
    >>> vi.audit(model, data, checks=[Evidence()]).sentence()
    '1 of 1 checks passed (0 do not apply)'
    """
    require_positive("limit", limit)
    require_positive("evaluations", evaluations)
    data_seed = seed if data_seed is None else data_seed
    whole = _seen(loaded(data, data_seed), model)
    checks = every_check() if checks is None else checks
    with evaluating(model), torch.random.fork_rng(), as_it_is():
        bound = (bound or _fitting(model, whole)).eval()
        limits = limit, evaluations
        subject = Subject(model, whole, bound, split, seed, *limits, claims, data_seed)
        verdicts = {check.title: _asked(check, subject) for check in watched(list(checks))}
    return Audit(verdicts, {check.title: check.proves for check in checks})


def _asked(check: Check, subject: Subject) -> Verdict:
    """Run a check; an error of vi within it says why it does not apply."""
    torch.manual_seed(subject.seed)
    try:
        return check(subject)
    except (ViError, NotImplementedError) as error:
        return not_applicable(str(error) or type(error).__name__)
    except (RuntimeError, ValueError) as error:
        if "memory" in str(error):
            raise
        return not_applicable(f"it stopped with {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _fitting(model: LatentVariableModel, data: LoadedData) -> Bound:
    """Return the ELBO in the first form that the model has."""
    batch = data.test.frozen(0).batch(data.test.spread(min(2, len(data.test))))
    try:
        ELBO()(model, batch.x, **batch.given)
    except ConfigurationError:
        return LogWeightELBO()
    return ELBO()


def _seen(data: LoadedData, model: LatentVariableModel) -> LoadedData:
    """Return the data in the model's shape."""
    return data.viewed(tuple(model.data_shape), doubles=model.takes_doubles)
