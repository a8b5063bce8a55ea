"""Models with a q(z|x) of one's choice, and what is asked of it."""

import vi
from vi.inference.given import with_q
from vi.inference.objective import objective


def amortized(exact, encoder, posterior):
    """The exact model, which infers with an encoder from now on."""
    exact.infer_with(vi.Amortized(encoder, posterior))
    return exact


def said(model, x, **given):
    """lambda(x)."""
    return model.inference.parameters_of(model, x, **given)


def at_lambda(model, parameters):
    """The model with the q of these variational parameters."""
    return with_q(model, q_at(model, parameters))


def q_at(model, parameters):
    """The q of these variational parameters."""
    return model.inference.at(model, parameters)


def climbing(model, bound, x):
    """lambda -> the surrogate of a bound for each datum."""
    return lambda parameters: bound(at_lambda(model, parameters), x).surrogate


def climbing_elbo(model, x):
    """The same of what every refinement climbs."""
    return objective(model.inference.family, model, x, {})
