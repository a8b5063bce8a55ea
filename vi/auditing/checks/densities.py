"""p(z), q(z|x) and p(x|z) are densities, and their draws are theirs."""

import torch
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.auditing.check import Check, Verdict, judged
from vi.auditing.entries import support_of, unwrapped
from vi.auditing.normalisation import total
from vi.auditing.ratios import balance
from vi.auditing.subject import Subject
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.protocols import StandIn
from vi.errors import ConfigurationError

_DATA, _SAMPLES = 4, 2
_DRAWS, _NUMBERS = 20_000, 2_000_000  # in all, and entries of them
_SIGMAS = 5.0


class PriorDensity(Check):
    """p(z) sums or integrates to 1.

    By a sum over the states, by quadrature, layer by layer, component by component, by the
    Jacobian of a flow, or by E_p[r/p] = 1 for a known density r.
    """

    title = "p(z) is a density"
    proves = "that p(z) sums or integrates to 1"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Find the total of p(z)."""
        batch = subject.few(_DATA)
        return _normalised("p(z)", subject.model.prior(**batch.given), _latent_support(subject))


class PosteriorDensity(Check):
    """q(z|x) sums or integrates to 1, for some data; see ``PriorDensity``."""

    title = "q(z|x) is a density"
    proves = "that q(z|x) sums or integrates to 1"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Find the total of q(z|x)."""
        q = subject.posterior(subject.few(_DATA))
        return _normalised("q(z|x)", q, _latent_support(subject))


class LikelihoodDensity(Check):
    """p(x|z) sums or integrates to 1, for z from q(z|x) and from p(z).

    Entry by entry where it is a product, and term by term where it is autoregressive.
    """

    title = "p(x|z) is a density"
    proves = "that p(x|z) sums or integrates to 1"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Find the total of p(x|z)."""
        batch = subject.few(_DATA)
        support = _data_support(subject)
        verdicts = []
        for z in (subject.draws(batch, _SAMPLES), _from_prior(subject, len(batch.x))):
            p = subject.model.likelihood(z, **batch.given)
            verdicts.append(_normalised("p(x|z)", p, support))
        return max(verdicts, key=lambda v: (v.number or 0) / (v.tolerance or 1))


class Draws(Check):
    """The draws of q(z|x), p(z) and p(x|z) are draws from their densities.

    For a symmetric move z' of a draw z, the mean of tanh(u / 2) / (1 + exp(-u)) with
    u = log p(z') - log p(z) is 0, whatever p is; and log q(z), which bounds use with their draws,
    is log_prob(z). A temperature in one of the two shows here.
    """

    title = "draws of these densities"
    proves = "that q(z|x), p(z) and p(x|z) are the densities of their draws"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Test draws against densities."""
        batch, worst, said = subject.few(_DATA), 0.0, []
        own = _scored_alike(subject)
        if own is not None:
            return own
        z = subject.draws(batch, _SAMPLES)
        tested = {
            "q(z|x)": (subject.posterior(batch), _latent_support(subject)),
            "p(z)": (subject.model.prior(**batch.given), _latent_support(subject)),
            "p(x|z)": (subject.model.likelihood(z, **batch.given), _data_support(subject)),
        }
        for name, (p, support) in tested.items():
            found = _balanced(p, support)
            if found is None:
                said.append(f"{name} does not sample")
                continue
            worst = max(worst, found.sigmas)
            said.append(f"{name} {found.off:+.2g}")
        return judged(worst, _SIGMAS, f"the balance is off by {', '.join(said)}", "s.e.")


def _normalised(name: str, p: Distribution, support: Constraint | None) -> Verdict:
    p = p.discrete if isinstance(p, StandIn) else p
    found = total(p, support)
    said = f"the log of the total of {name} is off by {found.off:.2g} nats ({found.how})"
    return judged(found.off, found.tolerance, said)


def _from_prior(subject: Subject, n: int) -> torch.Tensor:
    p = subject.model.prior()
    return p.sample() if p.batch_shape else p.sample((n,))


def _latent_support(subject: Subject) -> Constraint | None:
    return getattr(subject.model.latent(), "support", None)


def _data_support(subject: Subject) -> Constraint | None:
    head = subject.model.data_head()
    return None if head is None else head.support


def _balanced(p: Distribution, support: Constraint | None):  # noqa: ANN202
    p = unwrapped(p.discrete if isinstance(p, StandIn) else p)
    try:
        most = min(_DRAWS, _NUMBERS // p.event_shape.numel()) // p.batch_shape.numel()
        z = p.sample((max(most, 100),))
    except NotImplementedError:
        return None
    return balance(p, support_of(p, support), z)


def _scored_alike(subject: Subject) -> Verdict | None:
    """Compare the log q of draws with log_prob at these draws; None if they agree."""
    batch = subject.few(_DATA)
    assert batch.index is not None  # of a batch of ours
    q = subject.posterior(batch)
    with datum_noise(subject.seed, batch.index):
        at = draw(q, 16)
    try:
        log_q = at.log_q
    except ConfigurationError:
        return None
    off = (log_q - q.log_prob(at.z)).abs() / (1 + log_q.abs())
    worst = off.max().item()
    if worst <= 1e-3:
        return None
    said = f"log q of its draws is not log_prob at these draws: they differ by {worst:.2g}"
    return judged(worst, 1e-3, said, "of their size")
