"""What the eager path costs: ``vi.ELBO()(model, x)`` and backward, beside torch.distributions.

    python benchmarks/eager.py

A hand-written loop without a session, one thread, batches of 128. Both compute the same bound by
the same networks and take turns in one process; medians of all calls, and of the ratios of rounds.
"""

import statistics
import time
from collections.abc import Callable

import torch
from _machine import Load, foot
from _timing import table
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, kl_divergence

import vi

_BATCH, _ROUNDS, _CALLS = 128, 9, 60
_NOTE = "Microseconds of a bound with its backward pass; the ratio is that of ours to theirs."


class Scale(nn.Module):
    """A network of one parameter: x -> a x, cut or repeated to its size."""

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.a, self.n_out = nn.Parameter(torch.tensor(0.5)), n_out

    def forward(self, x: Tensor) -> Tensor:
        """(.., D) -> (.., n_out)."""
        return (self.a * x).repeat_interleave(self.n_out, -1)[..., : self.n_out]


class ByHand(vi.LatentVariableModel):
    """A model as a researcher writes one."""

    def __init__(self, dim: int, latent_dim: int) -> None:
        super().__init__()
        self.data_shape, self.latent_dim = (dim,), latent_dim
        self.encoder, self.decoder = Scale(2 * latent_dim), Scale(dim)

    def prior(self, **given: Tensor) -> Distribution:
        """N(0, I)."""
        return _standard(self.latent_dim)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """Bits."""
        return Independent(Bernoulli(logits=self.decoder(z)), 1)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """A diagonal Gaussian."""
        return _gaussian(self.encoder(x))


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with Load() as load:
        rows = [_row(*model) for model in _models()]
    print(table("The eager path", "model | ours | theirs | ratio", rows, _NOTE))
    print(foot("python benchmarks/eager.py", [load.others]))


def _models() -> list[tuple[str, vi.LatentVariableModel, nn.Module, nn.Module, int, int]]:
    """(name, model, its encoder, its decoder, D, Z)."""
    hand = ByHand(16, 2)
    scale = lambda in_shape, out_shape: Scale(out_shape[0])
    small, large = _vae(16, 2, scale), _vae(784, 40, vi.MLP([500, 500]))
    return [
        ("written by hand, networks of one parameter", hand, hand.encoder, hand.decoder, 16, 2),
        (
            "vi.VAE, networks of one parameter",
            small,
            small.inference.encoder,
            small.decoder,
            16,
            2,
        ),
        ("vi.VAE, 784-500-500-40", large, large.inference.encoder, large.decoder, 784, 40),
    ]


def _vae(dim: int, latent_dim: int, network: Callable[..., nn.Module]) -> vi.VAE:
    q, p = vi.DiagonalGaussian(latent_dim), vi.StandardNormal(latent_dim)
    return vi.VAE((dim,), network, network, q, p, vi.Bernoulli())


def _standard(dim: int) -> Distribution:
    return Independent(Normal(torch.zeros(dim), torch.ones(dim)), 1)


def _gaussian(parameters: Tensor) -> Distribution:
    loc, raw = parameters.chunk(2, -1)
    return Independent(Normal(loc, nn.functional.softplus(raw)), 1)


def _row(
    name: str,
    model: vi.LatentVariableModel,
    encoder: nn.Module,
    decoder: nn.Module,
    dim: int,
    latent_dim: int,
) -> str:
    x, bound = (torch.rand(_BATCH, dim) < 0.5).float(), vi.ELBO()

    def ours() -> Tensor:
        return bound(model, x).surrogate.mean()

    def theirs() -> Tensor:
        q = _gaussian(encoder(x))
        p = Independent(Bernoulli(logits=decoder(q.rsample((1,)))), 1)
        return (p.log_prob(x).squeeze(0) - kl_divergence(q, _standard(latent_dim))).mean()

    rounds = [(_times(ours, model), _times(theirs, model)) for _ in range(_ROUNDS)]
    ratio = statistics.median(statistics.median(a) / statistics.median(b) for a, b in rounds)
    medians = [statistics.median(sum(times, [])) * 1e6 for times in zip(*rounds, strict=True)]
    return " | ".join([name, *(f"{median:.0f}" for median in medians), f"{ratio:.2f}"])


def _times(elbo: Callable[[], Tensor], model: nn.Module) -> list[float]:
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        (-elbo()).backward()
        times.append(time.perf_counter() - began)
        model.zero_grad()
    return times


if __name__ == "__main__":
    main()
