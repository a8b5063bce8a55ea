"""A q of its own for every datum: inference that is not amortised."""

import torch
from torch import Tensor

from vi.inference.base import Generative, Inference
from vi.inference.refined import Refined
from vi.refinement.base import Refinement


class PerDatum(Refined):
    """q(z; lambda_n), with a row of a table for every training datum.

    The table belongs to the training: it is no weight, so it stays out of the files of a model,
    and who trains keeps it (``vi.SVI``). Unseen data are fitted from where all rows began.

    Args:
        inference: The family of q; an encoder in it is asked once, for the shape of lambda.
        refinement: The steps on a row, at every visit.
        factor: Unseen data get so many times as many steps as a visit.

    Reference: Hoffman, Blei, Wang and Paisley, 2013, https://jmlr.org/papers/v14/hoffman13a.html
    """

    def __init__(self, inference: Inference, refinement: Refinement, factor: int = 10) -> None:
        super().__init__(inference, refinement, factor)
        self.table: Tensor | None = None

    def begin(self, said: Tensor) -> Tensor:
        """lambda_0: what the family of q says without data; for a Gaussian the standard normal."""
        return self.start(said)

    @torch.no_grad()
    def open(self, model: Generative, x: Tensor, num_data: int, **given: Tensor) -> Tensor:
        """A table of so many rows, each at the start; x (B, *event) tells the shape of lambda."""
        one = {k: v[:1] for k, v in given.items()}
        said = self.inference.parameters_of(model, x[:1], **one)
        return self.start(said).repeat(num_data, *[1] * (said.dim() - 1))

    def update(self, model: Generative, x: Tensor, index: Tensor, **given: Tensor) -> Tensor:
        """The E-step of a batch: refine its rows, where they were left.

        Args:
            model: Gives p(x, z), which is held.
            x: Training data (B, *event).
            index: Their rows, (B,).
            **given: What the model conditions on.

        Returns:
            lambda_n of the batch, (B, *P).
        """
        assert self.table is not None  # ``open`` has made it
        self.table[index] = self.refined(model, x, self.table[index], given)
        return self.table[index]
