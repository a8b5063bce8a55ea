"""A limit: this one network trained with every derivative written out, no autograd and no object.

What torch's kernels allow where nothing can be exchanged: no other posterior, likelihood or bound.
The bits of a batch, the kernel of Adam and the kept memory are those of ``vi``.
"""

import torch
from _common import BATCH, DIM, EPOCHS, LATENT, RATE, Stopwatch, finish, train_grey
from _net import Net, weights
from torch import Tensor
from torch.nn import functional as F

from vi.data.bits import draw_bits
from vi.fast.denormals import denormals_flushed
from vi.fast.memory import keep_freed_memory
from vi.optimizers.adam import Adam

RECTIFY_BACKWARD = torch.ops.aten.threshold_backward.grad_input
Layers = list[tuple[Tensor, Tensor]]


def forwards(layers: Layers, x: Tensor) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last one."""
    through = [x]
    for i, (weight, bias) in enumerate(layers):
        y = torch.mm(through[-1], weight.t()).add_(bias)
        through.append(y if i == len(layers) - 1 else y.relu_())
    return through


def backwards(layers: Layers, through: list[Tensor], error: Tensor, *, to_input: bool) -> Tensor:
    """Set the gradients of the parameters; the gradient of the input."""
    for i in reversed(range(len(layers))):
        weight, bias = layers[i]
        weight.grad, bias.grad = torch.mm(error.t(), through[i]), error.sum(0)
        if i or to_input:
            error = torch.mm(error, weight)
        if i:
            RECTIFY_BACKWARD(error, through[i], 0, grad_input=error)
    return error


def step(encoder: Layers, decoder: Layers, optimizer: Adam, x: Tensor) -> Tensor:
    """The ELBO of each datum, before the step."""
    inner = forwards(encoder, x)
    mu, log_variance = inner[-1].chunk(2, -1)
    noise, sigma = torch.randn(BATCH, LATENT), torch.exp(0.5 * log_variance)
    outer = forwards(decoder, torch.addcmul(mu, sigma, noise))
    logits = outer[-1]
    variance = sigma.square()
    kl = 0.5 * (variance + mu.square() - 1 - log_variance).sum(-1)
    elbo = (x * logits).sub_(F.softplus(logits)).sum(-1).sub_(kl)
    error = logits.sigmoid().sub_(x).div_(BATCH)
    of_z = backwards(decoder, outer, error, to_input=True)
    of_mu = torch.add(of_z, mu, alpha=1 / BATCH)
    of_log_variance = (of_z * noise).mul_(sigma).add_((variance - 1).div_(BATCH)).mul_(0.5)
    backwards(encoder, inner, torch.cat([of_mu, of_log_variance], -1), to_input=False)
    optimizer.step()
    return elbo


def check(x: Tensor) -> None:
    """The gradients are those of autograd."""
    torch.manual_seed(0)
    net.loss(x).backward()
    expected = [p.grad for p in net.parameters()]
    torch.manual_seed(0)
    with torch.no_grad():
        step(layers[:3], layers[3:], Adam(net.parameters(), lr=0.0, fused=True), x)
    for p, wanted in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-3, atol=1e-6)


torch.manual_seed(0)
keep_freed_memory()
data = torch.from_numpy(train_grey())
net = Net()
layers = [(m.weight, m.bias) for m in net.modules() if isinstance(m, torch.nn.Linear)]
optimizer = Adam(net.parameters(), lr=RATE, fused=True)
check(torch.rand(BATCH, DIM).round())
watch = Stopwatch(len(data) // BATCH)
with torch.no_grad(), denormals_flushed():
    for _ in range(EPOCHS):
        for index in torch.randperm(len(data)).split(BATCH):
            step(layers[:3], layers[3:], optimizer, draw_bits(data.index_select(0, index), 255))
            watch.step()
finish(watch, weights(net.encoder, net.decoder), net.log_likelihood, "torch")
