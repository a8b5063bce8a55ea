"""Which latent dimensions a model uses, and how much z tells about x."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from vi.data.base import Batch
from vi.diagnoses.base import Diagnosis, Diagnostic, Subject
from vi.diagnostics.active_units import are_active
from vi.diagnostics.kl_per_dimension import over_dimensions
from vi.diagnostics.mutual_information import information
from vi.distributions.chain import Chain
from vi.distributions.draw import Points, draw
from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError, DataError, require_positive
from vi.figures.kl_bars import kl_bars
from vi.files.numbers import LOWER, Number

_FEWEST = 2  # data with a variance
_SATURATED = 0.5  # nats below log N within which a lower bound of I says little
_LITTLE = 0.1  # nats of I or of KL that are almost none
_NAMED = 100  # most dimensions that a sentence lists


class Part(NamedTuple):
    """A dimension or a layer of z with its mean KL in nats, and whether the model uses it.

    ``used`` is None where that is not defined.
    """

    name: str
    kl: float | None
    used: bool | None = None


class LatentUse(Diagnostic):
    """Which dimensions of z are used, and how much z tells about x.

    * Active units: dimensions with Var_x(E_q[z_d|x]) > ``threshold``.
    * KL(q(z_d|x) || p(z_d)) of each dimension, or of each layer, where q and p are such products.
    * E_x KL(q(z|x) || p(z)) = I_q(x; z) + KL(q(z) || p(z)), all three from the same draws, with
      the aggregate posterior q(z) = E_x[q(z|x)].

    q(z) is a mixture over N data, so I_q(x; z) is known only between two bounds in expectation
    (``information``), the upper one being the smaller of that bound and the KL; and with it
    KL(q(z) || p(z)). The lower bound is at most log N: within half a nat of log N it is saturated
    and says only that I is at least that large.

    Args:
        max_data: Largest N; the cost of q(z) grows with its square.
        num_draws: Draws of z in all, at least one for each datum.
        threshold: Variance above which a dimension is active.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519; Hoffman
    and Johnson, 2016; Poole et al., 2019, https://arxiv.org/abs/1905.06922
    """

    def __init__(
        self, max_data: int = 2000, num_draws: int = 4000, threshold: float = 0.01
    ) -> None:
        require_positive("max_data", max_data, _FEWEST - 1)
        require_positive("num_draws", num_draws)
        self.max_data, self.num_draws, self.threshold = max_data, num_draws, threshold

    def examine(self, subject: Subject) -> Diagnosis:
        """Measure the use of every dimension, and both terms of the KL."""
        batch = subject.batch(self.max_data)
        n = len(batch.x)
        if n < _FEWEST:
            raise DataError("one datum does not tell what z is used for", hint="give more data")
        model, draws = subject.model, -(-self.num_draws // n)
        q, p = model.posterior(batch.x, **batch.given), model.prior(**batch.given)
        at = draw(q, draws)
        parts, unit = _parts(q, p, at, self.threshold)
        terms = _terms(q, p, at)
        numbers = [*_active(parts, unit), *_of_terms(terms), *_of_parts(parts)]
        said = [*_on_use(parts, unit), *_on_information(terms, n), *_on_conditions(batch)]
        shown = [(part.name, part.kl, part.used) for part in parts if part.kl is not None]
        figures = {"latent_use": kl_bars(shown, unit)} if shown else {}
        facts = {"count": n, "draws per datum": len(at.z)}
        return Diagnosis("use of z", numbers, said, figures, facts)


class Terms(NamedTuple):
    """Terms by datum, (N,): log q(z|x) - log p(z), and both bounds of log q(z|x) - log q(z)."""

    kl: Tensor
    lower: Tensor
    upper: Tensor

    @property
    def highest(self) -> Tensor:
        """The terms of the smaller upper bound of I_q(x; z), (N,)."""
        return min(self.kl, self.upper, key=lambda column: column.mean().item())


def _terms(q: Distribution, p: Distribution, at: Points) -> Terms:
    kl = (at.log_q.double() - p.log_prob(at.z).double()).mean(0)
    return Terms(kl, *information(q, at.z, at.log_q))


def _parts(
    q: Distribution, p: Distribution, at: Points, threshold: float
) -> tuple[list[Part], str]:
    """Return the dimensions or the layers of z with their KL, and what they are called."""
    if isinstance(q, Chain) and isinstance(p, Chain):
        kl = (q.log_prob_layers(at.z) - p.log_prob_layers(at.z)).mean((1, 2)).tolist()
        return [Part(f"z_{number}", value) for number, value in enumerate(kl, 1)], "layers"
    used = are_active(q.mean, threshold)
    try:
        kl = closed_form_kl(over_dimensions(q), over_dimensions(p)).mean(0)
    except ConfigurationError:
        kl = None
    if kl is not None and kl.ndim < used.ndim:  # a dimension is a one-hot variable
        used = used.flatten(kl.ndim).any(-1)
    values = [None] * used.numel() if kl is None else kl.flatten().tolist()
    named = zip(values, used.flatten().tolist(), strict=True)
    return [Part(f"z_{d}", value, on) for d, (value, on) in enumerate(named, 1)], "dimensions"


def _active(parts: Sequence[Part], unit: str) -> list[Number]:
    used = [part.used for part in parts if part.used is not None]
    return [Number("active_units", sum(used), f"of {len(used)} {unit}")] if used else []


def _of_parts(parts: Sequence[Part]) -> list[Number]:
    return [Number(f"kl_{part.name}", part.kl) for part in parts if part.kl is not None]


def _of_terms(terms: Terms) -> list[Number]:
    """Return the KL, and both bounds of the mutual information and of the aggregate KL."""
    rest = terms.kl - terms.lower, terms.kl - terms.highest
    return [
        _mean("kl", terms.kl),
        _mean("mutual_information", terms.lower, LOWER),
        _mean("mutual_information_at_most", terms.highest, "upper bound"),
        _mean("aggregate_kl", rest[1], LOWER),
        _mean("aggregate_kl_at_most", rest[0], "upper bound"),
    ]


def _mean(name: str, column: Tensor, reliability: str | None = None) -> Number:
    """Return a mean over data with its standard error over data."""
    error = column.std().item() / math.sqrt(len(column))
    return Number(name, column.mean().item(), data_error=error, reliability=reliability)


def _on_use(parts: Sequence[Part], unit: str) -> list[str]:
    """Return the sentence on unused dimensions, and on layers that carry nothing."""
    idle = [p.name for p in parts if p.used is False]
    known = [p for p in parts if p.used is not None]
    empty = [p.name for p in parts if p.kl is not None and abs(p.kl) < _LITTLE]
    if not known:
        return [f"{unit} with less than {_LITTLE} nats: {', '.join(empty) or 'none'}"]
    if len(known) == 1:
        return [f"the only one of the {unit} of z is {'unused' if idle else 'used'}"]
    if not idle:
        return [f"all {len(known)} {unit} of z are used"]
    named = ": " + ", ".join(idle) if len(idle) <= _NAMED else ""
    return [f"{len(idle)} of {len(known)} {unit} of z are unused{named}"]


def _on_information(terms: Terms, n: int) -> list[str]:
    kl, lower, upper = (column.mean().item() for column in (terms.kl, terms.lower, terms.highest))
    said = f"E KL(q(z|x) || p(z)) = {kl:.2f} nats = I(x; z) + KL(q(z) || p(z))"
    if lower > math.log(n) - _SATURATED:
        told = f"at least {lower:.2f} nats, saturated at log N = {math.log(n):.2f} for {n} data"
        return [f"{said}; I(x; z) is {told}, and at most {upper:.2f}"]
    rest = f"{max(0.0, kl - upper):.2f} and {max(0.0, kl - lower):.2f}"
    told = f"{said}; I(x; z) is between {lower:.2f} and {upper:.2f} nats, KL(q(z) || p(z)) between"
    found = [f"{told} {rest}"]
    return found + (["z carries almost no information about x"] if upper < _LITTLE else [])


def _on_conditions(batch: Batch) -> list[str]:
    """Return what q(z) averages over in a conditional model."""
    if "context" not in batch.given:
        return []
    return ["q(z) and I(x; z) are over data and contexts together"]
