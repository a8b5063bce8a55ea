"""Adam with the decay of the weights apart from the gradient."""

from torch.optim import AdamW as TorchAdamW

from vi.optimizers.adam import Adam


class AdamW(Adam, TorchAdamW):
    """``torch.optim.AdamW``, to the bit, with the step of ``Adam``.

    Reference: Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101
    """
