"""Autoregressive parts depend on the entries before an entry, and on no others."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform

from vi.auditing.check import Check, Outcome, Verdict, judged, not_applicable
from vi.auditing.checks.densities import _data_support
from vi.auditing.dependence import dependence, is_acyclic
from vi.auditing.entries import entries_of, unwrapped
from vi.auditing.normalisation import jacobian_of, total
from vi.auditing.subject import Subject
from vi.distributions.flow import FlowDistribution, zuko
from vi.distributions.mixture import FiniteMixture

_DATA, _MOST = 2, 1024


class Causality(Check):
    """No two entries of an autoregressive part depend on each other.

    For an autoregressive flow the Jacobian of each transform has no cycle, and its diagonal gives
    log |det|. A term of p(x|z) that depends on x beyond its own entry does so without a cycle, and
    sums to 1 over the values of that entry. A mask that is off by one fails the second half: the
    entry then sees itself.
    """

    title = "causality"
    proves = "that masked parts see the entries before an entry, and neither it nor later ones"

    def __call__(self, subject: Subject) -> Verdict:
        """Look for cycles, and for entries that see themselves."""
        batch = subject.few(_DATA)
        with torch.no_grad():
            q, p = subject.posterior(batch), subject.model.prior(**batch.given)
            z = subject.draws(batch, 1)
            likelihood = unwrapped(subject.model.likelihood(z, **batch.given))
        found = [v for d in (q, p) for v in _of_flow(d)]
        found += _of_terms(likelihood, subject)
        if not found:
            return not_applicable("no part is autoregressive")
        failed = [v for v in found if v.outcome is Outcome.FAILED]
        return (failed or sorted(found, key=lambda v: -(v.number or 0)))[0]


def _of_flow(p: Distribution) -> list[Verdict]:
    """Test every autoregressive transform of a flow, also of one in a mixture."""
    if isinstance(p, FiniteMixture):
        return _of_flow(p.components)
    if not isinstance(p, FlowDistribution):
        return []
    parts = getattr(p.transform, "transforms", [p.transform])
    both = [(part, part.inv) for part in parts]  # a flow may use either direction
    return [_of_transform(part, p) for pair in both for part in pair if _is_masked(part)]


def _is_masked(transform: Transform) -> bool:
    return isinstance(transform, zuko.transforms.AutoregressiveTransform)


def _of_transform(transform: Transform, p: FlowDistribution) -> Verdict:
    x = torch.randn(1, *p.loc.shape).to(p.loc)
    _, jacobian = jacobian_of(lambda x: transform.call_and_ladj(x)[0], x)  # pyright: ignore
    _, log_det = transform.call_and_ladj(x)  # pyright: ignore
    size = jacobian.shape[-1]
    depends = (jacobian != 0).view(-1, size, size).any(0)
    if not is_acyclic(depends):
        return judged(math.inf, 0.0, "two entries of a flow depend on each other", "cycles")
    diagonal = jacobian.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
    off = (diagonal - log_det.detach()).abs().max().item()
    said = f"a masked flow has no cycle, and log |det| is off its diagonal by {off:.2g} nats"
    return judged(off, 1e-3, said)


@torch.no_grad()
def _of_terms(p: Distribution, subject: Subject) -> list[Verdict]:
    """Test the terms of p(x|z), which depend on one another only if it is autoregressive."""
    entries = entries_of(p)
    if entries is None or p.event_shape.numel() > _MOST:
        return []
    try:
        x, other = p.sample((2,)).flatten(1, -1 - len(p.event_shape))[:, 0]
    except NotImplementedError:
        return []
    lead = len(p.batch_shape)
    narrow = entries._replace(log_prob=lambda v: _first(entries.log_prob, v, p, lead))
    depends = dependence(narrow, x, other)
    beyond = int(depends.clone().fill_diagonal_(False).sum())  # noqa: FBT003, torch's
    if not beyond:
        return []
    if not is_acyclic(depends):
        return [judged(beyond, 0, "entries of p(x|z) depend on each other", "dependences")]
    found = total(p, _data_support(subject))
    said = f"{beyond} dependences without a cycle; {found.how}: off by {found.off:.2g} nats"
    return [judged(found.off, found.tolerance, said)]


def _first(log_prob, value: Tensor, p: Distribution, lead: int) -> Tensor:  # noqa: ANN001
    """Return the terms of the first distribution of a batch, for values (n, *event)."""
    wide = value.view(len(value), *[1] * lead, *p.event_shape)
    terms = log_prob(wide.expand(len(value), *p.batch_shape, *p.event_shape))
    return terms.flatten(1, lead)[:, 0] if lead else terms
