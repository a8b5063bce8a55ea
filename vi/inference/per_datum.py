"""Inference that is not amortised: a separate q for every datum."""

import torch
from torch import Tensor

from vi.inference.base import Generative, Inference
from vi.inference.refined import Refined
from vi.refinement.base import Refinement


class PerDatum(Refined):
    """q(z; lambda_n), with lambda_n in row n of a table for every training datum.

    The table belongs to the training and not to the model: it is not a weight, so it is not saved
    with the model, and the scheme (``vi.SVI``) stores it. For unseen data lambda is fitted from
    the start that all rows had.

    Args:
        inference: Gives the family of q; if it has an encoder, it is evaluated once, for the shape
            of lambda.
        refinement: The steps on a row at every visit.
        factor: For unseen data the number of steps is multiplied by this.

    Reference: Hoffman, Blei, Wang and Paisley, 2013, https://jmlr.org/papers/v14/hoffman13a.html
    """

    def __init__(self, inference: Inference, refinement: Refinement, factor: int = 10) -> None:
        super().__init__(inference, refinement, factor)
        self.table: Tensor | None = None

    def begin(self, said: Tensor) -> Tensor:
        """Return lambda_0, which does not depend on x; for a Gaussian family q is N(0, I)."""
        return self.start(said)

    @torch.no_grad()
    def open(self, model: Generative, x: Tensor, num_data: int, **given: Tensor) -> Tensor:
        """Return a table of ``num_data`` rows lambda_0; x (B, *event) determines their shape."""
        one = {k: v[:1] for k, v in given.items()}
        said = self.inference.parameters_of(model, x[:1], **one)
        return self.start(said).repeat(num_data, *[1] * (said.dim() - 1))

    def update(self, model: Generative, x: Tensor, index: Tensor, **given: Tensor) -> Tensor:
        """Do the E-step of a batch: refine its rows of the table from their last values.

        Args:
            model: Gives p(x, z), which is held constant.
            x: Training data (B, *event).
            index: Their rows, (B,).
            **given: What the model conditions on.

        Returns:
            lambda_n of the batch, (B, *P).
        """
        assert self.table is not None  # ``open`` has made it
        self.table[index] = self.refined(model, x, self.table[index], given)
        return self.table[index]
