"""What an audit is about: a model, its data, and the numbers that were stated about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vi.bounds.base import Bound
from vi.data.base import Batch, LoadedData, Split
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.protocols import StandIn
from vi.inputs import admitted
from vi.models.base import LatentVariableModel


class Claim(NamedTuple):
    """Numbers of a split that somebody stated, with what is needed to compute them again.

    Args:
        source: Where they stand, for messages.
        split: train, val or test.
        numbers: Flat numbers by name, as ``vi.evaluation.over_split.evaluate`` returns them.
        seed: Seed of the noise.
        columns: The value of each datum by name, with its row as ``index``, where it is known.
        facts: What was said of the data.
    """

    source: str
    split: str
    numbers: Mapping[str, float]
    seed: int
    columns: Mapping[str, Tensor] | None = None
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Subject:
    """A model with its data and its bound, in evaluation mode.

    Args:
        model: Gives p(x, z) and q(z|x).
        data: All splits, on the device of the model and in its shape.
        bound: The bound that is reported.
        name: The split that is audited.
        seed: Seed of the noise.
        limit: Largest number of data that a check reads.
        evaluations: Largest number of decoder evaluations by which one number is computed again.
        claims: Numbers that were stated.
        data_seed: Seed with which the data were loaded.
    """

    model: LatentVariableModel
    data: LoadedData
    bound: Bound
    name: str = "test"
    seed: int = 0
    limit: int = 100
    evaluations: int = 300_000
    claims: Sequence[Claim] = ()
    data_seed: int = 0

    @property
    def split(self) -> Split:
        """The split that is audited, the same at every visit."""
        return self.split_of(self.name)

    def split_of(self, name: str) -> Split:
        """Return a split, the same at every visit."""
        return getattr(self.data, name).frozen(self.seed)

    def few(self, n: int | None = None) -> Batch:
        """Return at most n data, at most ``limit`` of them, evenly spread over the split.

        Raises:
            DataError: The model cannot take them.
        """
        return self.rows(self.split.spread(min(n or self.limit, self.limit, len(self.split))))

    def rows(self, index: Int64[Tensor, " B"]) -> Batch:
        """Return these data of the split as the model reads them."""
        batch = self.split.batch(index)
        given = admitted(self.model, batch.x, **batch.given)
        return Batch(given.pop("x"), given, index)

    def posterior(self, batch: Batch) -> torch.distributions.Distribution:
        """Return q(z|x), for a relaxed q the discrete one, under the noise of these data."""
        assert batch.index is not None  # of a batch of ours
        with datum_noise(self.seed, batch.index):
            q = self.model.posterior(batch.x, **batch.given)
        return q.discrete if isinstance(q, StandIn) else q

    def draws(self, batch: Batch, num_samples: int) -> Tensor:
        """Draw z ~ q(z|x) with the noise of these data, (K, B, *Z)."""
        assert batch.index is not None  # of a batch of ours
        q = self.posterior(batch)
        with datum_noise(self.seed + 1, batch.index), torch.no_grad():
            return draw(q, num_samples).z

    def log_weights(self, batch: Batch, num_samples: int) -> Float[Tensor, "K B"]:
        """Return log p(x, z_k) - log q(z_k|x) with z_k ~ q(z|x), in double precision."""
        q, z = self.posterior(batch), self.draws(batch, num_samples)
        log_joint = self.model.log_joint(batch.x, z, **batch.given)
        return log_joint.double() - q.log_prob(z).double()
