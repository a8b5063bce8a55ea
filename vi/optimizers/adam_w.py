"""Adam with decoupled weight decay."""

from torch.optim import AdamW as TorchAdamW

from vi.optimizers.adam import Adam


class AdamW(Adam, TorchAdamW):
    """``torch.optim.AdamW``, identical to the bit, with the faster step of ``Adam``.

    The decay theta <- theta - lr weight_decay theta is separate from the gradient, so that Adam's
    normalisation does not scale it. The arguments are those of ``torch.optim.AdamW``.

    Reference: Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101
    """
