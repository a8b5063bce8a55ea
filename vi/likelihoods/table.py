"""The likelihood of tables with columns of different types."""

import copy
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.columns import Columns, apart, beside
from vi.distributions.conditional import ConditionalDistribution
from vi.errors import ConfigurationError
from vi.math import Shape


class MixedTable(ConditionalDistribution):
    """Table likelihood p(x|z) = prod_d p_d(x_d|z), with a likelihood for each column.

    Columns with the same likelihood are computed together if that likelihood has no learned
    parameters of its own.

    Args:
        likelihoods: One for each column; they are copied.

    Raises:
        ConfigurationError: The list is empty, a likelihood does not apply to single entries, or
            the data have a different number of columns.

    >>> from vi.likelihoods.bernoulli import Bernoulli
    >>> from vi.likelihoods.gaussian import Gaussian
    >>> likelihood = MixedTable([Gaussian(), Bernoulli(), Gaussian()])
    >>> likelihood.out_shape, likelihood(torch.zeros(5, 5)).log_prob(torch.zeros(5, 3))[0]
    ((5,), tensor(-1.8266))
    """

    order: Tensor

    def __init__(self, likelihoods: Sequence[ConditionalDistribution]) -> None:
        if not likelihoods:
            raise ConfigurationError(
                "likelihoods is empty", hint="give one for each column of the data"
            )
        super().__init__((len(likelihoods),))
        groups = _groups(likelihoods)
        self.heads = nn.ModuleList(_head(likelihoods[group[0]], len(group)) for group in groups)
        self.register_buffer("order", torch.tensor(list(chain(*groups))), persistent=False)
        self.support = constraints.cat([head.support for head in likelihoods], dim=-1)
        self.needs = "; ".join(
            f"{head.needs} in column {', '.join(map(str, group))}"
            for head, group in zip(self._heads, groups, strict=True)
        )

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the parameters of each group of columns."""
        return tuple(head.out_shape for head in self._heads)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from parameters (*batch, *out_shape)."""
        pieces = zip(self._heads, self.split(params), strict=True)
        return Independent(Columns([_entries(h(piece)) for h, piece in pieces], self.order), 1)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Return the encoder input of each column's likelihood, (*batch, D)."""
        read = [
            h.encoder_input(column)
            for h, column in zip(self._heads, self._columns(x), strict=True)
        ]
        return beside(read, self.order)

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the initial parameters of all columns, or none if one likelihood has none."""
        columns = zip(self._heads, self._columns(x), strict=True)
        starts = [head.start_at(column, exposure) for head, column in columns]
        return tuple(torch.cat([p.flatten() for p in s]) for s in starts) if all(starts) else ()

    @property
    def real_entries(self) -> Tensor:
        """Which columns can be any real number, (D,)."""
        return beside([head.real_entries for head in self._heads], self.order)

    def _columns(self, x: Tensor) -> tuple[Tensor, ...]:
        """Split a table (.., D) into the groups of columns."""
        return apart(x, self.order, [head.event_shape[0] for head in self._heads])

    def set_event_shape(self, event_shape: Shape) -> None:
        """Check that the data have one column per likelihood; the model calls this once.

        Raises:
            ConfigurationError: The data have a different number of columns.
        """
        if tuple(event_shape) != tuple(self.event_shape):
            raise ConfigurationError(
                f"likelihoods has {len(self.order)} columns, the data have shape "
                f"{tuple(event_shape)}",
                hint="give one likelihood for each column of the data",
            )

    @property
    def _heads(self) -> list[ConditionalDistribution]:
        return list(self.heads)  # pyright: ignore[reportReturnType]


def _groups(likelihoods: Sequence[ConditionalDistribution]) -> list[list[int]]:
    """Group columns that one head can compute: same likelihood, no parameters of its own."""
    groups: dict[object, list[int]] = {}
    for column, likelihood in enumerate(likelihoods):
        alone = bool(_head(likelihood, 1).state_dict())
        kind = (column if alone else None, type(likelihood), repr(likelihood.arguments))
        groups.setdefault(kind, []).append(column)
    return list(groups.values())


def _head(likelihood: ConditionalDistribution, num_columns: int) -> ConditionalDistribution:
    """Return a copy of the likelihood for a group of columns."""
    head = copy.deepcopy(likelihood)
    head.set_event_shape((num_columns,))
    return head


def _entries(p: Distribution) -> Distribution:
    """Return the distribution of single entries.

    Raises:
        ConfigurationError: The entries are not independent given z.
    """
    if isinstance(p, Independent) and not p.base_dist.event_shape:
        return p.base_dist
    raise ConfigurationError(
        f"{type(p).__name__} does not factorise over columns",
        hint="choose likelihoods whose entries are independent given z",
    )
