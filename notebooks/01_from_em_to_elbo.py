# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From EM to the evidence lower bound
#
# A latent-variable model $p(x, z \mid \theta)$ explains data $x$ by something unseen, $z$. We want
# the parameters under which the data are likely, that is, a high *log-evidence*
#
# $$\ell(\theta; x) = \log p(x \mid \theta) = \log \sum_z p(x, z \mid \theta),$$
#
# and the sum (or integral) inside the logarithm is what makes it hard. EM, variational inference
# and the variational autoencoder are three ways around that one obstacle, and all three climb the
# same function, the *evidence lower bound* (ELBO)
#
# $$\mathcal F(q, \theta; x) = \mathbb E_{q(z \mid x)}\big[\log p(x, z \mid \theta)
#   - \log q(z \mid x)\big].$$
#
# This notebook follows the lecture note on EM and the ELBO, equation by equation. Each equation
# becomes a cell that checks it on two models in which everything is known exactly:
#
# * a **two-component mixture**, where $z$ is discrete and the sum has two terms;
# * a **linear-Gaussian model**, where $z$ is continuous and every integral is Gaussian.
#
# The note has slips. Where one occurs, a box says so and corrects it, and where it is more than a
# matter of words the next cell shows that the note's version fails. Section 8 lists them all.
#
# Everything is in nats and in double precision. "Equal" means equal to $10^{-10}$.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

import vi

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

# The palette of Okabe and Ito, which readers with any colour vision can tell apart.
EVIDENCE, BOUND, GAP, NOTE = "#0072B2", "#E69F00", "#CC79A7", "#D55E00"
SKY, GREEN, GREY = "#56B4E9", "#009E73", "#8C8C8C"

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "lines.linewidth": 2,
    }
)


def agree(a, b, tolerance=1e-10):
    """Whether two tensors are equal, entry by entry, up to rounding."""
    return bool(((a - b).abs() <= tolerance).all())


# %% [markdown]
# > **Slip 1 in the note: the names.** The note writes $L(\theta; x)$ and $\ell(\theta; x)$ for one
# > and the same thing and calls it a *loss*. It is the log-likelihood: it is **maximised**, and a
# > loss would be $-\ell$. (This one word is behind slips 4 and 9.) ELBO is spelt out as "evidence
# > of lower bound"; it is the **evidence lower bound**, a lower bound of the log-evidence.
#
# | here | meaning |
# |---|---|
# | $\ell(\theta; x)$ | log-evidence $\log p(x \mid \theta)$ |
# | $q(z \mid x)$ | any distribution of $z$; it may depend on $x$ |
# | $p(z \mid x, \theta)$ | the posterior: what Bayes' rule says about $z$ |
# | $\mathbb E_q[\ell_c]$ | expected complete log-likelihood, $\ell_c = \log p(x, z \mid \theta)$ |
# | $H(q)$ | entropy $-\mathbb E_q[\log q(z \mid x)]$ |
# | $\mathcal F(q, \theta; x)$ | ELBO, $\mathbb E_q[\ell_c] + H(q)$ |
#
# ## 1. Two models with nothing hidden
#
# In `vi` a model is a prior $p(z)$, a likelihood $p(x \mid z)$ and a posterior $q(z \mid x)$,
# each a `torch.distributions.Distribution`; $\log p(x, z)$ and sampling come for free. The
# mixture is
#
# $$p(z{=}c) = w_c, \qquad p(x \mid z{=}c) = \mathcal N(x;\, m_c, s_c^2), \qquad c \in \{0, 1\},$$
#
# and since $z$ takes two values, a table with two rows holds everything there is to know about
# $z$.


# %%
class TwoComponentMixture(vi.LatentVariableModel):
    """p(z) = Categorical(w), p(x|z) = N(x; m_z, s_z^2); every sum over z is written out."""

    def __init__(self, weights, locs, scales):
        super().__init__()
        self.data_shape = ()
        self.logits = nn.Parameter(torch.tensor(weights).log())
        self.locs = nn.Parameter(torch.tensor(locs))
        self.log_scales = nn.Parameter(torch.tensor(scales).log())

    def prior(self, **given):
        return Categorical(logits=self.logits)

    def likelihood(self, z, **given):
        return Normal(self.locs[z], self.log_scales[z].exp())

    def posterior(self, x, **given):
        return Categorical(logits=self.log_joint_table(x).T)

    def log_joint_table(self, x):
        """log p(x, z) for both values of z: (2, B)."""
        every_z = torch.tensor([[0], [1]]).expand(2, len(x))
        return self.log_joint(x, every_z)

    def log_evidence(self, x):
        """log p(x) = log sum_z p(x, z): (B,)."""
        return self.log_joint_table(x).logsumexp(0)


truth = TwoComponentMixture([0.35, 0.65], [-1.5, 1.8], [0.6, 1.0])
mixture_data = truth.sample(300)
mixture = TwoComponentMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.2])

x = mixture_data[:6]
log_p = mixture.log_evidence(x)
posterior = mixture.posterior(x).probs.T  # p(z|x), (2, B)

# Bayes' rule, p(z|x) p(x) = p(x, z), for both z and every x
assert agree(posterior.log() + log_p, mixture.log_joint_table(x))
print("x          ", *(f"{v:8.4f}" for v in x))
print("log p(x)   ", *(f"{v:8.4f}" for v in log_p), " nats")
print("p(z=1|x)   ", *(f"{v:8.4f}" for v in posterior[1]))

# %% [markdown]
# The linear-Gaussian model (probabilistic PCA) has a two-dimensional $z$ and a five-dimensional
# $x$:
#
# $$p(z) = \mathcal N(z; 0, I), \quad p(x \mid z) = \mathcal N(x;\, Wz + b, s^2 I)
#   \;\Rightarrow\;
#   p(x) = \mathcal N(x;\, b, WW^\top + s^2 I), \quad
#   p(z \mid x) = \mathcal N\big(z;\, \Lambda^{-1} W^\top (x - b) / s^2,\, \Lambda^{-1}\big),$$
#
# with $\Lambda = I + W^\top W / s^2$.


# %%
class LinearGaussian(vi.LatentVariableModel):
    """p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I), with the true posterior."""

    def __init__(self, weight, offset, scale):
        super().__init__()
        self.data_shape = offset.shape
        self.weight = nn.Parameter(weight)  # (D, Z)
        self.offset = nn.Parameter(offset)  # (D,)
        self.log_scale = nn.Parameter(scale.log())

    def prior(self, **given):
        latent_dim = self.weight.shape[1]
        return MultivariateNormal(torch.zeros(latent_dim), torch.eye(latent_dim))

    def likelihood(self, z, **given):
        return Independent(Normal(z @ self.weight.T + self.offset, self.log_scale.exp()), 1)

    def posterior(self, x, **given):
        variance = (2 * self.log_scale).exp()
        precision = torch.eye(self.weight.shape[1]) + self.weight.T @ self.weight / variance
        covariance = precision.inverse()
        return MultivariateNormal(
            (x - self.offset) @ self.weight @ covariance / variance, covariance
        )

    def evidence(self):
        """p(x), in closed form."""
        noise = (2 * self.log_scale).exp() * torch.eye(len(self.offset))
        return MultivariateNormal(self.offset, self.weight @ self.weight.T + noise)

    def log_evidence(self, x):
        """log p(x): (B,)."""
        return self.evidence().log_prob(x)


true_weight = torch.tensor([[1.0, 0.9], [0.8, 0.1], [0.2, 1.0], [-0.7, -0.2], [0.4, 0.9]])
linear = LinearGaussian(true_weight, torch.linspace(-1, 1, 5), torch.tensor(0.7))
linear_data = linear.sample(256)

y = linear_data[:6]
z = torch.randn(1000, 6, 2)  # any z at all, (K, B, Z)
bayes = linear.log_joint(y, z) - linear.posterior(y).log_prob(z)  # log p(x, z) - log p(z|x)

# p(x, z) / p(z|x) = p(x), whichever z we look at: Bayes' rule again
assert agree(bayes, linear.log_evidence(y))
print("log p(x)   ", *(f"{v:8.4f}" for v in linear.log_evidence(y)), " nats")

# %% [markdown]
# ## 2. Jensen's inequality
#
# $$f \text{ convex}: \;\; \mathbb E[f(y)] \ge f(\mathbb E[y]), \qquad\qquad
#   f \text{ concave}: \;\; \mathbb E[f(y)] \le f(\mathbb E[y]),$$
#
# with equality, for a strictly concave or convex $f$, exactly when $y$ is constant. The logarithm
# is strictly concave. We try both on ten thousand random distributions with five atoms each.
#
# > **Slip 2 in the note: two captions.** Under the concave inequality the note writes, from left
# > to right, "put function on avg" and "put avg on function". They belong the other way round:
# > $\mathbb E[f(y)]$ is the average **of** the function, $f(\mathbb E[y])$ the function **of**
# > the average.

# %%
atoms = torch.rand(10_000, 5) * 10 + 0.01
probs = torch.rand(10_000, 5).softmax(-1)
mean = (probs * atoms).sum(-1)

average_of_log, log_of_average = (probs * atoms.log()).sum(-1), mean.log()
average_of_exp, exp_of_average = (probs * atoms.exp()).sum(-1), mean.exp()
assert (average_of_log < log_of_average).all()  # concave
assert (average_of_exp > exp_of_average).all()  # convex

constant = torch.full((5,), 3.7)
assert agree((probs * constant.log()).sum(-1), torch.tensor(3.7).log())  # equality: y constant

print(f"first distribution: average of log = {average_of_log[0]:.4f}, ", end="")
print(f"log of average = {log_of_average[0]:.4f}")


# %%
def draw_jensen(ax, f, low, high, symbol):
    """Two equally likely atoms on the graph of f: the chord's middle against the graph."""
    grid = torch.linspace(low * 0.6, high * 1.12, 200)
    middle = (low + high) / 2
    of_average, average_of = f(torch.tensor(middle)), (f(torch.tensor([low, high]))).mean()
    ax.plot(grid, f(grid), color="black")
    ax.plot([low, high], f(torch.tensor([low, high])), color=GREY, lw=1.4, marker="o", ms=5)
    ax.plot([middle, middle], [average_of, of_average], color=GAP, lw=3, solid_capstyle="butt")
    ax.plot(middle, of_average, "o", color=EVIDENCE, ms=8, label=rf"{symbol}$(E[y])$")
    ax.plot(middle, average_of, "s", color=BOUND, ms=7.5, label=rf"$E[${symbol}$(y)]$")
    ax.annotate(
        "gap",
        (middle, (average_of + of_average) / 2),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=GAP,
        weight="bold",
    )
    ax.set(xlabel="y", ylabel=f"{symbol}(y)")


figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.3))
draw_jensen(left, torch.log, 0.35, 5.0, "log")
left.set_title("Concave: the average of the log\nis below the log of the average")
left.legend(loc="lower right")
draw_jensen(right, torch.exp, 0.5, 3.0, "exp")
right.set_title("Convex: the relation is flipped")
right.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## 3. The ELBO from Jensen's inequality
#
# For **any** distribution $q(z \mid x)$ that is positive wherever $p(x, z \mid \theta)$ is,
#
# $$\begin{aligned}
# \ell(\theta; x)
#   &= \log \sum_z p(x, z \mid \theta) && \text{(1) the marginal} \\
#   &= \log \sum_z q(z \mid x)\, \frac{p(x, z \mid \theta)}{q(z \mid x)}
#       && \text{(2) multiply and divide by } q \\
#   &= \log \mathbb E_{q}\Big[\frac{p(x, z \mid \theta)}{q(z \mid x)}\Big]
#       && \text{(3) read it as an average} \\
#   &\ge \mathbb E_{q}\Big[\log \frac{p(x, z \mid \theta)}{q(z \mid x)}\Big]
#       && \text{(4) Jensen} \\
#   &= \mathbb E_q[\log p(x, z \mid \theta)] + H(q) && \text{(5) the ELBO.}
# \end{aligned}$$

# %%
q = torch.rand(2, 6).softmax(0)  # some q(z|x), as a table (2, B)
joint = mixture.log_joint_table(x)  # log p(x, z), (2, B)


def entropy(q):
    """H(q) = -sum_z q log q: (B,)."""
    return torch.special.entr(q).sum(0)


line_1 = joint.exp().sum(0).log()
line_2 = (q * (joint.exp() / q)).sum(0).log()
line_4 = (q * (joint - q.log())).sum(0)
line_5 = (q * joint).sum(0) + entropy(q)
assert agree(line_1, log_p)
assert agree(line_1, line_2)  # (3) only gives (2) another name
assert (line_2 > line_4).all()  # Jensen; strict, as this q is not the posterior
assert agree(line_4, line_5)
print("log p(x)   ", *(f"{v:8.4f}" for v in line_1), " nats")
print("ELBO       ", *(f"{v:8.4f}" for v in line_5), " nats")

# %% [markdown]
# > **Slip 3 in the note: $p(z \mid x)$ written for $q$ in the proof.** From line (2) on, the note
# > multiplies and divides by $p(z \mid x)$ and yet averages over $q$. Two things break.
# >
# > 1. By Bayes' rule $p(x, z) / p(z \mid x) = p(x)$ for every $z$. Jensen is applied to a
# >    constant, so the "$\ge$" is an **equality**, whatever $q$ is: there is no bound, and
# >    nothing to maximise.
# > 2. The last line does not follow: $-\mathbb E_q[\log p(z \mid x)]$ is not the entropy of $q$
# >    but the cross-entropy $H(q) + \mathrm{KL}(q \,\Vert\, p(z \mid x))$.
# >
# > With $q$ in all these places, as above, every line holds.

# %%
note_line_3 = (q * (joint.exp() / posterior)).sum(0).log()
note_line_4 = (q * (joint - posterior.log())).sum(0)
assert agree(note_line_3, log_p)
assert agree(note_line_4, log_p)  # an equality, for this q

for _ in range(200):  # and for any other q
    other_q = torch.rand(2, 6).softmax(0)
    assert agree((other_q * (joint - posterior.log())).sum(0), log_p)

cross_entropy = -(q * posterior.log()).sum(0)
kl = (q * (q / posterior).log()).sum(0)
assert (cross_entropy - entropy(q) > 1e-4).all()  # the note's last step
assert agree(cross_entropy, entropy(q) + kl)  # what it is instead
print("Jensen gap with q      ", *(f"{v:7.4f}" for v in line_2 - line_4), " nats")
print("Jensen gap in the note ", *(f"{v.abs():7.4f}" for v in note_line_3 - note_line_4), " nats")
print("-E_q[log p(z|x)]       ", *(f"{v:7.4f}" for v in cross_entropy), " nats")
print("H(q)                   ", *(f"{v:7.4f}" for v in entropy(q)), " nats")

# %% [markdown]
# A picture of one datum. The bound is a concave function of $q$ that touches $\log p(x)$ at one
# point, the posterior; the expression in the note is flat.

# %%
datum = torch.tensor([0.15])
q1 = torch.linspace(1e-6, 1 - 1e-6, 401)
table = torch.stack([1 - q1, q1])  # every q for this one datum
joint_1, posterior_1 = mixture.log_joint_table(datum), mixture.posterior(datum).probs.T
with torch.no_grad():
    curve = (table * joint_1).sum(0) + entropy(table)
    note_curve = (table * (joint_1 - posterior_1.log())).sum(0)
    level = mixture.log_evidence(datum).item()
best = posterior_1[1].item()
assert (curve <= level + 1e-12).all()
assert abs(q1[curve.argmax()] - best) <= q1[1] - q1[0]

figure, ax = plt.subplots(figsize=(6.6, 3.5))
ax.axhline(level, color=EVIDENCE, label=r"$\log p(x)$")
ax.plot(
    q1,
    note_curve,
    color=NOTE,
    ls=(0, (2, 3)),
    lw=3,
    label=r"the note's $E_q[\log\, p(x,z)/p(z|x)]$",
)
ax.plot(q1, curve, color=BOUND, label=r"ELBO, $E_q[\log\, p(x,z)/q(z|x)]$")
ax.fill_between(q1, curve, level, color=GAP, alpha=0.25, lw=0, label="gap")
ax.plot(best, level, "o", color="black", ms=7)
ax.annotate(
    "posterior",
    (best, level),
    xytext=(0, -18),
    textcoords="offset points",
    ha="center",
)
ax.set(xlabel=r"$q(z{=}1 \mid x)$", ylabel="nats", xlim=(0, 1), ylim=(None, level + 0.12))
ax.set_title(
    "The bound touches log p(x) at the posterior only;\n"
    "with p(z|x) in the place of q there is no bound to raise"
)
ax.legend(loc="lower center")
plt.show()

# %% [markdown]
# ### The same for a continuous $z$, and the three forms of the ELBO
#
# `vi` has three algebraic forms of the same number:
#
# | | |
# |---|---|
# | `vi.ELBO` | $\mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\Vert\, p(z))$ |
# | `vi.EntropyELBO` | $\mathbb E_q[\log p(x, z)] + H(q)$ |
# | `vi.LogWeightELBO` | $\mathbb E_q[\log p(x, z) - \log q(z \mid x)]$ |
#
# Each averages over samples of $q$, so with random samples they agree in expectation. To see them
# agree exactly we replace the random samples by *cubature points*. In the linear-Gaussian model
# all three integrands are quadratic in $z$, and the $2Z$ points $\mu \pm \sqrt Z\, L e_i$ (with
# $L L^\top$ the covariance of $q$) have exactly its mean and covariance, so that their plain
# average integrates every quadratic without error.


# %%
class Cubature(MultivariateNormal):
    """A Gaussian whose 2 Z 'samples' have exactly its mean and its covariance."""

    def rsample(self, sample_shape=()):
        dim = self.event_shape[0]
        assert tuple(sample_shape) == (2 * dim,)
        axes = math.sqrt(dim) * torch.cat([torch.eye(dim), -torch.eye(dim)])
        return self.loc + (self.scale_tril @ axes.T).movedim(-1, 0)


def cubature(q):
    """The same Gaussian, with cubature points for samples."""
    gaussian = isinstance(q, MultivariateNormal)
    return Cubature(q.mean, q.covariance_matrix if gaussian else torch.diag_embed(q.variance))


class WithPosterior(vi.LatentVariableModel):
    """The joint p(x, z) of one model with a q(z|x) of our choice."""

    def __init__(self, model, q):
        super().__init__()
        self.data_shape, self.model, self.q = model.data_shape, model, q

    def prior(self, **given):
        return self.model.prior(**given)

    def likelihood(self, z, **given):
        return self.model.likelihood(z, **given)

    def posterior(self, x, **given):
        return self.q(x)


def crude_q(x):
    """A q that is off on purpose: its mean shrunk towards 0, twice the covariance."""
    true = linear.posterior(x)
    return MultivariateNormal(0.7 * true.mean, 2 * true.covariance_matrix)


crude = WithPosterior(linear, lambda x: cubature(crude_q(x)))
exact = WithPosterior(linear, lambda x: cubature(linear.posterior(x)))
K = 4  # 2 Z cubature points
bounds = {b: getattr(vi, b)(num_samples=K) for b in ("ELBO", "EntropyELBO", "LogWeightELBO")}

print("log p(x)       ", *(f"{v:9.4f}" for v in linear.log_evidence(y)), " nats")
for name, bound in bounds.items():
    value = bound(crude, y).value
    assert agree(value, vi.ELBO(num_samples=K)(crude, y).value)  # three forms, one number
    assert (value < linear.log_evidence(y)).all()  # Jensen
    assert agree(bound(exact, y).value, linear.log_evidence(y))  # equality at the posterior
    print(f"{name:15}", *(f"{v:9.4f}" for v in value), " nats")

# Slip 3 again: with p(z|x) in the denominator the average over q is log p(x) for any q
z = crude.posterior(y).rsample((K,))
note = (linear.log_joint(y, z) - linear.posterior(y).log_prob(z)).mean(0)
assert agree(note, linear.log_evidence(y))
print("the note's     ", *(f"{v:9.4f}" for v in note), " nats")

# %% [markdown]
# > **Slip 4 in the note: the sentence below the proof.** "Loss of $\theta$ to match $x$ is higher
# > than the expectation of loss for $\theta$ to match both $x$ and $q$ [...] + the entropy". Read
# > with losses (minus log-likelihoods) the inequality is reversed; what is matched beside $x$ is
# > $z$, not $q$; and "higher" should be "at least as high", for there is equality at the
# > posterior. Correct: *the **log-likelihood** of $x$ is **at least** the expected log-likelihood
# > of $x$ and $z$, $z \sim q$, plus the entropy of $q$*; or for losses,
# >
# > $$-\log p(x \mid \theta) \;\le\; \mathbb E_q[-\log p(x, z \mid \theta)] - H(q).$$

# %%
terms = vi.EntropyELBO(num_samples=K)(crude, y).terms
loss_x, expected_loss_xz = -linear.log_evidence(y), -terms["energy"]

assert (linear.log_evidence(y) >= terms["energy"] + terms["entropy"]).all()  # log-likelihoods
assert (loss_x <= expected_loss_xz - terms["entropy"]).all()  # losses
assert not (loss_x >= expected_loss_xz + terms["entropy"]).any()  # the note, with losses
print("-log p(x)               ", *(f"{v:8.4f}" for v in loss_x), " nats")
print("E_q[-log p(x,z)] - H(q) ", *(f"{v:8.4f}" for v in expected_loss_xz - terms["entropy"]))

# %% [markdown]
# ## 4. The ELBO from the Kullback-Leibler divergence
#
# Jensen says that there is a gap. Bayes' rule, $\log p(x) = \log p(x, z) - \log p(z \mid x)$,
# averaged over $q$, says what the gap is:
#
# $$\ell(\theta; x)
#   = \underbrace{\mathbb E_q[\log p(x, z \mid \theta)] + H(q)}_{\mathcal F(q, \theta; x)}
#   + \mathrm{KL}\big(q(z \mid x) \,\Vert\, p(z \mid x, \theta)\big).$$

# %%
for _ in range(200):  # the mixture, with any q
    q = torch.rand(2, 6).softmax(0)
    elbo = (q * joint).sum(0) + entropy(q)
    kl = (q * (q / posterior).log()).sum(0)
    assert agree(elbo + kl, log_p)
    assert (kl >= 0).all()

# the linear-Gaussian model
linear_elbo = vi.EntropyELBO(num_samples=K)(crude, y).value
linear_kl = kl_divergence(crude_q(y), linear.posterior(y))
assert agree(linear_elbo + linear_kl, linear.log_evidence(y))
print("ELBO       ", *(f"{v:8.4f}" for v in linear_elbo), " nats")
print("KL         ", *(f"{v:8.4f}" for v in linear_kl), " nats")
print("ELBO + KL  ", *(f"{v:8.4f}" for v in linear_elbo + linear_kl), " nats")
print("log p(x)   ", *(f"{v:8.4f}" for v in linear.log_evidence(y)), " nats")

# %% [markdown]
# > **Slip 5 in the note: what is decomposed.** "Decomposed to marginal, surrogate, and
# > posterior": the marginal is what *is* decomposed, into **two** terms, the surrogate and the KL
# > divergence from $q$ to the posterior.
# >
# > **Slip 6 in the note: an inequality reversed.** Below the decomposition the note concludes
# > "RHS $\ge$ LHS". As written the two sides are equal; and as $\mathrm{KL} \ge 0$, dropping it
# > makes the right-hand side *smaller*: $\ell(\theta; x) \ge \mathcal F(q, \theta; x)$, **LHS
# > $\ge$ RHS**. That is what makes $\mathcal F$ a lower bound.
# >
# > **Slip 7 in the note: a KL reversed.** "$L$ = ELBO + KL(true dist ‖ current estimated)" has
# > the arguments exchanged. In the decomposition the average is over $q$, the *current estimate*,
# > which therefore comes **first**: $\mathrm{KL}(q \,\Vert\, p(z \mid x, \theta))$. Both
# > divergences vanish at the posterior, but only this one is the gap. (It is also the one that
# > can be lowered without knowing the posterior, by raising the bound.)

# %%
q = torch.tensor([[0.5], [0.5]]).expand(2, 6)  # for every datum: no idea
elbo = (q * joint).sum(0) + entropy(q)
kl_q_p = (q * (q / posterior).log()).sum(0)
kl_p_q = (posterior * (posterior / q).log()).sum(0)

assert (elbo < log_p).all()
assert not (elbo >= log_p).any()  # "RHS >= LHS", with the KL dropped
assert agree(log_p - elbo, kl_q_p)
assert ((log_p - elbo - kl_p_q).abs() > 1e-4).all()  # "KL(true || current)"
print("mixture:          log p(x) - ELBO ", *(f"{v:8.4f}" for v in log_p - elbo), " nats")
print("                  KL(q || p)      ", *(f"{v:8.4f}" for v in kl_q_p))
print("                  KL(p || q)      ", *(f"{v:8.4f}" for v in kl_p_q))

linear_gap = linear.log_evidence(y) - linear_elbo
linear_kl_p_q = kl_divergence(linear.posterior(y), crude_q(y))
assert agree(linear_gap, linear_kl)
assert ((linear_gap - linear_kl_p_q).abs() > 1e-4).all()
print("linear-Gaussian:  log p(x) - ELBO ", *(f"{v:8.4f}" for v in linear_gap), " nats")
print("                  KL(q || p)      ", *(f"{v:8.4f}" for v in linear_kl))
print("                  KL(p || q)      ", *(f"{v:8.4f}" for v in linear_kl_p_q))


# %%
def draw_decomposition(ax, log_p, kl, title):
    """Bars hanging from 0: log p(x), and the KL below it; they end at the ELBO."""
    datum = range(1, len(log_p) + 1)
    log_p, kl = log_p.detach(), kl.detach()
    ax.bar(datum, log_p, color=EVIDENCE, width=0.62, label=r"$\log p(x)$")
    ax.bar(
        datum,
        -kl,
        bottom=log_p,
        color=GAP,
        width=0.62,
        hatch="///",
        edgecolor="white",
        label=r"$\mathrm{KL}(q\,\Vert\,p(z|x))$",
    )
    ends = log_p - kl
    ax.hlines(
        ends, *(torch.tensor(datum) + s * 0.4 for s in (-1, 1)), color=BOUND, lw=4, label="ELBO"
    )
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="datum", ylabel="nats", xticks=list(datum), ylim=(1.17 * ends.min(), 0))
    ax.set_title(title)


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.6, 3.7))
draw_decomposition(
    left, log_p, kl_q_p, "Mixture: log p(x) is the ELBO\nplus KL(q‖p(z|x)), datum by datum"
)
draw_decomposition(
    middle, linear.log_evidence(y), linear_kl, "Linear-Gaussian: the same\nwith a continuous z"
)
handles, labels = left.get_legend_handles_labels()
left.legend(loc="lower center", ncols=3, fontsize=8, columnspacing=0.9, handlelength=1.2)

reverse = (posterior_1 * (posterior_1.log() - table.log())).sum(0).detach()
right.plot(q1, level - curve, color=GAP, lw=5, alpha=0.55, label=r"$\log p(x)$ − ELBO")
right.plot(
    q1,
    (table * (table / posterior_1).log()).sum(0).detach(),
    color="black",
    lw=1.3,
    label="KL(q‖p(z|x))",
)
right.plot(q1, reverse, color=NOTE, ls=(0, (4, 2)), label="KL(p(z|x)‖q), the note's")
right.set(xlabel=r"$q(z{=}1 \mid x)$", ylabel="nats", xlim=(0, 1), ylim=(0, 1.6))
right.set_title("The gap is KL(q‖p(z|x)),\nnot KL(p(z|x)‖q)")
right.legend(loc="upper center", fontsize=8)
plt.show()

# %% [markdown]
# ## 5. EM: two ways to climb one function
#
# Read the decomposition as a function of two arguments. For fixed $\theta$ the left-hand side
# does not depend on $q$, so raising $\mathcal F$ over $q$ is the same as lowering the KL:
#
# $$\textbf{E-step:}\quad q \leftarrow \arg\max_q \mathcal F(q, \theta; x) = p(z \mid x, \theta),
#   \qquad \max_q \mathcal F(q, \theta; x) = \ell(\theta; x).$$
#
# For fixed $q$ the entropy does not depend on $\theta$, so that raising $\mathcal F$ over
# $\theta$ is maximum likelihood as if $z$ had been seen:
#
# $$\textbf{M-step:}\quad \theta \leftarrow \arg\max_\theta \mathcal F(q, \theta; x)
#   = \arg\max_\theta \mathbb E_q[\log p(x, z \mid \theta)].$$
#
# > **Slip 8 in the note: what is not observed.** "We don't actually observe $q$, let's estimate
# > it". It is **$z$** that is not observed. $q$ is ours: a distribution that we are free to
# > choose, and the bound holds for each choice.


# %%
def objective(model, x, q):
    """The ELBO of the whole data set, in nats per datum; q is a table (2, N)."""
    return ((q * model.log_joint_table(x)).sum(0) + entropy(q)).mean()


@torch.no_grad()
def e_step(model, x):
    """q(z|x) = p(z|x, theta)."""
    return model.log_joint_table(x).softmax(0)


@torch.no_grad()
def m_step(model, x, q):
    """Weights, means and variances of data labelled by q: supervised maximum likelihood."""
    count = q.sum(1)
    locs = q @ x / count
    variances = (q * (x - locs.unsqueeze(1)) ** 2).sum(1) / count
    model.logits.copy_((count / len(x)).log())
    model.locs.copy_(locs)
    model.log_scales.copy_(variances.log() / 2)


# "Supervised": where q knows each label for certain, the M-step fits each class on its own
x = mixture_data
label = (x > 0).long()
supervised = TwoComponentMixture([0.5, 0.5], [0.0, 0.0], [1.0, 1.0])
m_step(supervised, x, nn.functional.one_hot(label, 2).T.to(x.dtype))
for c in (0, 1):
    assert agree(supervised.locs[c], x[label == c].mean())
    assert agree(supervised.log_scales[c].exp(), x[label == c].std(correction=0))

# %% [markdown]
# Now EM proper, from a poor start. Every claim above is an assertion in the loop.

# %%
start = ([0.5, 0.5], [-0.7, 1.2], [1.6, 1.6])
em = TwoComponentMixture(*start)
q = torch.full((2, len(x)), 0.5)
half_steps = [(objective(em, x, q).item(), em.log_evidence(x).mean().item())]

for _ in range(200):
    bound_before, evidence_before = half_steps[-1]

    q = e_step(em, x)
    bound, evidence = objective(em, x, q).item(), em.log_evidence(x).mean().item()
    assert abs(bound - evidence) < 1e-10  # the E-step closes the gap ...
    assert evidence == evidence_before  # ... and leaves the log-evidence alone
    assert bound >= bound_before - 1e-12
    half_steps.append((bound, evidence))

    m_step(em, x, q)
    em.zero_grad()
    objective(em, x, q).backward()
    assert all(p.grad.abs().max() < 1e-10 for p in em.parameters())  # a maximum over theta
    after_m, evidence = objective(em, x, q).item(), em.log_evidence(x).mean().item()
    assert after_m >= bound - 1e-12  # the M-step raises the bound ...
    assert evidence >= after_m - 1e-12  # ... which stays below the log-evidence
    half_steps.append((after_m, evidence))

print("half-step        ELBO    log p(x)   nats per datum")
for i, (b, e) in enumerate(half_steps[:9]):
    print(f"{i:4d}  {'start' if i == 0 else 'EM'[(i + 1) % 2]:5} {b:10.6f}  {e:10.6f}")
print(f"after 200 iterations: {half_steps[-1][1]:.6f}")

# %% [markdown]
# > **Slip 9 in the note: max, not min.** "Optimize $L(\theta; x)$ [min] depend on $\max_q$". The
# > log-likelihood is maximised, over $\theta$, and its value at each $\theta$ *is* the maximum
# > over $q$ of the bound:
# > $\max_\theta \ell(\theta; x) = \max_\theta \max_q \mathcal F(q, \theta; x)$. A minimum does
# > not even exist: move the means away from the data, and $\ell$ falls without end.
# >
# > **Slip 10 in the note: what $L$ does not depend on, and "max, min, max".** "$L$ not dependent
# > on KL" should be "not dependent on **$q$**". And the captions under
# > $L - \mathrm{KL} = \mathcal F$ ("max", "min", "max") describe neither half-step. The E-step
# > raises $\mathcal F$ by lowering the KL and leaves $L$ where it is. The M-step raises
# > $\mathcal F$ and $L$ and leaves a KL that is **larger** than the zero it started from: the
# > posterior has moved on, $q$ has not.

# %%
fixed_theta = TwoComponentMixture(*start)
with torch.no_grad():
    for _ in range(100):  # many q: the bound differs, the bound plus the KL does not
        some_q = torch.rand(2, len(x)).softmax(0)
        some_kl = (some_q * (some_q / e_step(fixed_theta, x)).log()).sum(0).mean()
        total = objective(fixed_theta, x, some_q) + some_kl
        assert agree(total, fixed_theta.log_evidence(x).mean())

with torch.no_grad():  # max, not min: EM has raised l, and l has no minimum
    assert half_steps[-1][1] > half_steps[0][1] + 0.2
    lower_and_lower = []
    for away in (1e1, 1e2, 1e3):
        far = TwoComponentMixture([0.5, 0.5], [away, away], [1.0, 1.0])
        lower_and_lower.append(far.log_evidence(x).mean().item())
    assert lower_and_lower[0] > 10 * lower_and_lower[1] > 100 * lower_and_lower[2]
print("means moved away    ", *(f"{v:13.1f}" for v in lower_and_lower), " nats per datum")

kl_after_e = [e - b for b, e in half_steps[1::2]]
kl_after_m = [e - b for b, e in half_steps[2::2]]
evidence_after_m = [e for _, e in half_steps[2::2]]
assert max(kl_after_e) < 1e-10
assert min(kl_after_m[:10]) > 1e-6  # the M-step opens the gap again
assert all(b > a for a, b in zip(evidence_after_m[:10], evidence_after_m[1:11], strict=True))
print("KL after each M-step ", *(f"{v:8.5f}" for v in kl_after_m[:8]), " nats per datum")

# %% [markdown]
# > **A gap in the argument (11).** The note asks "does maximizing this surrogate yield a
# > maximizer of the likelihood?" and answers with the inequality
# > $\ell \ge \mathbb E_q[\ell_c] + H(q)$. A lower bound alone does not answer it, and for one
# > fixed $q$ the answer is **no**. What does is that the bound *touches*: after the E-step
# > $\mathcal F(q, \theta_t) = \ell(\theta_t)$, and so
# >
# > $$\ell(\theta_{t+1}) \;\ge\; \mathcal F(q, \theta_{t+1}) \;\ge\; \mathcal F(q, \theta_t)
# >   \;=\; \ell(\theta_t).$$
# >
# > Where they touch, bound and log-evidence also have the same gradient in $\theta$. So where EM
# > stops, the gradient of the log-evidence is zero: a stationary point, as a rule a local maximum.


# %%
def gradient(f, model):
    """The gradient of f() in all parameters of the model, as one vector."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(f(), list(model.parameters()))])


once = TwoComponentMixture(*start)
q_once = e_step(once, x)
slope_of_bound = gradient(lambda: objective(once, x, q_once), once)
slope_of_evidence = gradient(lambda: once.log_evidence(x).mean(), once)
assert agree(slope_of_bound, slope_of_evidence)  # same slope where they touch (Fisher's identity)
assert slope_of_evidence.norm() > 0.01

m_step(once, x, q_once)
assert gradient(lambda: objective(once, x, q_once), once).norm() < 1e-10  # surrogate: maximal
not_yet = gradient(lambda: once.log_evidence(x).mean(), once).norm()
at_the_end = gradient(lambda: em.log_evidence(x).mean(), em).norm()
assert not_yet > 0.01  # ... and the log-evidence is not
assert at_the_end < 1e-6  # after many rounds it is
print(f"|gradient of log p(x)|: {not_yet:.4f} after one M-step, below 1e-6 after 200")

# %% [markdown]
# The picture to remember, with one free parameter (the mean $m_0$, everything else held at the
# truth): each E-step lays a bound under the log-evidence that touches it at the current $m_0$,
# each M-step walks to the top of that bound. On the right, the fit with all parameters free.

# %%
grid = torch.linspace(-3.2, 0.7, 160)


@torch.no_grad()
def along_first_mean(f):
    """f(model) for each m_0 of the grid."""
    values = []
    for m in grid:
        probe = TwoComponentMixture([0.35, 0.65], [m.item(), 1.8], [0.6, 1.0])
        values.append(f(probe).item())
    return torch.tensor(values)


log_evidence = along_first_mean(lambda model: model.log_evidence(x).mean())
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
left.plot(grid, log_evidence, color=EVIDENCE, lw=2.6, label=r"$\log p(x \mid m_0)$")
m = 0.3
for step, shade in enumerate((BOUND, GREEN, SKY)):
    here = TwoComponentMixture([0.35, 0.65], [m, 1.8], [0.6, 1.0])
    q = e_step(here, x)
    lower = along_first_mean(lambda model, q=q: objective(model, x, q))
    touch = objective(here, x, q).item()
    assert (lower <= log_evidence + 1e-12).all()
    assert abs(touch - here.log_evidence(x).mean().item()) < 1e-10
    left.plot(
        grid,
        lower,
        color=shade,
        lw=1.6,
        ls=["-", "--", "-."][step],
        label=f"bound after E-step {step + 1}",
    )
    left.plot(m, touch, "o", color=shade, mec="black", ms=8, zorder=3)
    m = (q[0] @ x / q[0].sum()).item()
    with torch.no_grad():
        top = objective(TwoComponentMixture([0.35, 0.65], [m, 1.8], [0.6, 1.0]), x, q).item()
    left.plot(m, top, "^", color=shade, mec="black", ms=8, zorder=3)
left.set(
    xlabel=r"$m_0$ (units of $x$)",
    ylabel="nats per datum",
    ylim=(log_evidence.min() - 0.9, log_evidence.max() + 0.1),
)
left.set_title(
    "Each bound touches at its E-step (dot);\nits maximum (triangle) is the next parameter"
)
left.legend(loc="lower center", fontsize=8.5)

support = torch.linspace(-4, 5.2, 300)
right.hist(x, bins=28, density=True, color="#DDDDDD", label="data")
with torch.no_grad():
    parts = em.log_joint_table(support).exp()
    begin = TwoComponentMixture(*start).log_evidence(support).exp()
right.plot(support, begin, color=GREY, ls=":", label="start")
right.plot(support, parts[0], color=SKY, ls="--", label="component 0")
right.plot(support, parts[1], color=GREEN, ls="-.", label="component 1")
right.plot(support, parts.sum(0), color=EVIDENCE, label=r"$p(x)$ after EM")
right.set(xlabel="$x$", ylabel="density (1 / units of $x$)")
right.set_title("EM finds the two components\nfrom a start that knows of neither")
right.legend(fontsize=8.5)
plt.show()

# %% [markdown]
# EM for the linear-Gaussian model follows the same two lines. The E-step is the exact posterior,
# whose mean and covariance give $\mathbb E_q[z]$ and $\mathbb E_q[zz^\top]$; the M-step is least
# squares of $x$ on an uncertain $z$. For this model the maximum is also known in closed form,
# from the eigenvalues $\lambda_1 \ge \dots \ge \lambda_D$ of the sample covariance (Tipping and
# Bishop, 1999):
#
# $$\max_\theta \ell = -\tfrac12 \Big[\sum_{i \le Z} \log \lambda_i + (D - Z) \log \bar\lambda
#   + D \log 2\pi + D\Big], \qquad \bar\lambda = \frac{1}{D - Z} \sum_{i > Z} \lambda_i.$$

# %%
y = linear_data
D, Z = 5, 2
centred = y - y.mean(0)
eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(y)).flip(0)
maximum = -0.5 * (
    eigenvalues[:Z].log().sum()
    + (D - Z) * eigenvalues[Z:].mean().log()
    + D * math.log(2 * math.pi)
    + D
)


@torch.no_grad()
def linear_m_step(model, x, q):
    """Least squares of x on z, with E_q[z] and E_q[z z^T] for z and z z^T."""
    centred = x - model.offset
    ez = q.mean
    ezz = (q.covariance_matrix + ez.unsqueeze(-1) * ez.unsqueeze(-2)).sum(0)
    model.weight.copy_(centred.T @ ez @ ezz.inverse())
    variance = (centred.square().sum() - (centred.T @ ez * model.weight).sum()) / x.numel()
    model.log_scale.copy_(variance.log() / 2)


torch.manual_seed(3)
linear_em = LinearGaussian(0.3 * torch.randn(D, Z), y.mean(0), torch.tensor(1.0))
entropy_elbo = vi.EntropyELBO(num_samples=2 * Z)  # the form of EM


@torch.no_grad()
def linear_state(q):
    """ELBO and log-evidence, in nats per datum."""
    bound = entropy_elbo(WithPosterior(linear_em, lambda _: cubature(q)), y).value.mean()
    return bound.item(), linear_em.log_evidence(y).mean().item()


linear_half_steps = [linear_state(MultivariateNormal(torch.zeros(len(y), Z), torch.eye(Z)))]
for _ in range(200):
    with torch.no_grad():
        q = linear_em.posterior(y)  # E-step
    after_e = linear_state(q)
    assert abs(after_e[0] - after_e[1]) < 1e-10  # closes the gap
    linear_m_step(linear_em, y, q)  # M-step
    after_m = linear_state(q)
    assert after_m[0] >= after_e[0] - 1e-12  # raises the bound
    assert after_m[1] >= after_m[0] - 1e-12  # which stays a bound
    linear_half_steps += [after_e, after_m]

assert abs(linear_half_steps[-1][1] - maximum) < 1e-8
print(f"log p(x) after EM {linear_half_steps[-1][1]:.8f}, maximum {maximum:.8f} nats per datum")


# %%
def draw_staircase(ax, history, title):
    """The bound and the log-evidence after each half-step, from the first E-step on."""
    count = 15
    bound, evidence = (torch.tensor(v[1 : count + 1]) for v in zip(*history, strict=True))
    steps = range(count)
    ax.fill_between(steps, bound, evidence, color=GAP, alpha=0.45, lw=0, label="KL(q‖p(z|x))")
    ax.plot(steps, evidence, color=EVIDENCE, marker="o", ms=6, lw=1.5, label=r"$\log p(x)$")
    ax.plot(steps, bound, color=BOUND, marker="s", ms=4, lw=1.5, label="ELBO")
    ax.set_xticks(steps, ["EM"[i % 2] for i in steps])
    ax.set(xlabel="after this half-step", ylabel="nats per datum")
    ax.set_title(title)


figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9))
draw_staircase(
    left,
    half_steps,
    "Mixture: each E-step closes the gap,\neach M-step raises the bound and opens it again",
)
draw_staircase(
    right,
    linear_half_steps,
    "Linear-Gaussian: the same stairs,\nup to the largest possible log-evidence",
)
right.axhline(maximum, color="black", ls=":", lw=1.4, label="maximum, in closed form")
left.legend(loc="lower right")
right.legend(loc="lower right")
plt.show()

# %% [markdown]
# > **A remark on GANs (12).** The note calls EM's alternation "a very popular trick [...] for
# > instance in GAN". The likeness ends at the alternation. EM climbs **one** function in two
# > arguments, which is why the stairs only go up. The players of a GAN pull one function in
# > opposite directions, and alternating steps may circle for ever: on the simplest such game,
# > $\min_u \max_v uv$, they conserve $u^2 + v^2 - \eta uv$ (here $\eta$ is the step size) and so
# > never reach the solution $(0, 0)$.

# %%
u, v, eta = 1.0, 1.0, 0.1
conserved = u**2 + v**2 - eta * u * v
for _ in range(10_000):
    u -= eta * v  # descend in u
    v += eta * u  # climb in v
    assert abs(u**2 + v**2 - eta * u * v - conserved) < 1e-10
    assert math.hypot(u, v) > 1.3
print(f"distance from the solution after 10 000 alternations: {math.hypot(u, v):.2f}")

# %% [markdown]
# ## 6. The same by gradient steps, with an encoder
#
# The exact E-step needs the exact posterior, one datum at a time. *Amortised* inference replaces
# it by an **encoder**, a network with parameters $\phi$ that maps any $x$ to the parameters of
# $q_\phi(z \mid x)$, and climbs the same function in $\phi$ and $\theta$ by stochastic gradients:
#
# $$(\phi, \theta) \;\leftarrow\; (\phi, \theta) + \eta\, \nabla_{\phi, \theta}\,
#   \mathcal F(q_\phi, \theta; x).$$
#
# The gradient in $\theta$ is a partial M-step; where $q$ is the posterior, it *is* the gradient
# of the log-evidence, as section 5 has shown. The gradient in $\phi$ is a partial E-step: since
# $\ell$ does not depend on $\phi$, it raises the bound by lowering the KL, and in no other way.
#
# With an affine encoder and an affine decoder, `vi.VAE` is a linear-Gaussian model with learned
# noise. Its true posterior is known, so we can watch the gap without any estimation.


# %%
def linear_vae(seed):
    """A VAE whose encoder and decoder are affine."""
    torch.manual_seed(seed)
    return vi.VAE(
        data_shape=(D,),
        encoder=vi.MLP([]),
        decoder=vi.MLP([]),
        posterior=vi.DiagonalGaussian(Z),
        prior=vi.StandardNormal(Z),
        likelihood=vi.SharedScaleGaussian(scale=1.0),
    )


@torch.no_grad()
def as_linear_gaussian(vae):
    """The same joint with W, b and s written out, read off from p(x|z) at z = 0, e_1, e_2."""
    p = vae.likelihood(torch.zeros(Z))
    weight = (vae.likelihood(torch.eye(Z)).mean - p.mean).T
    return LinearGaussian(weight, p.mean, p.stddev[0])


@torch.no_grad()
def exact_state(vae):
    """ELBO and log-evidence in nats per datum, without any sampling error."""
    true, q = as_linear_gaussian(vae), cubature(vae.posterior(y))
    bound = vi.ELBO(num_samples=2 * Z)(WithPosterior(true, lambda _: q), y).value
    evidence = true.log_evidence(y)
    assert agree(evidence - bound, kl_divergence(q, true.posterior(y)))  # at every step
    return bound.mean().item(), evidence.mean().item()


bound = vi.ELBO(num_samples=1)
loader = torch.utils.data.DataLoader(y, batch_size=64, shuffle=True)

# %% [markdown]
# **Alternating.** First in the manner of EM, but with gradient steps: some in $\phi$ alone, some
# in $\theta$ alone, by turns.

# %%
vae = linear_vae(seed=1)
phi = list(vae.encoder.parameters())
theta = [*vae.decoder.parameters(), *vae.likelihood_head.parameters()]
alternating = [exact_state(vae)]

for block in range(6):
    turn = (phi, theta)[block % 2]
    optimizer = torch.optim.Adam(turn, lr=0.02)
    first = exact_state(vae)
    for _ in range(20):
        for batch in loader:
            vae.zero_grad()
            (-bound(vae, batch).surrogate.mean()).backward()
            optimizer.step()
        alternating.append(exact_state(vae))
    last = exact_state(vae)
    if turn is phi:
        assert last[1] == first[1]  # the E-step by gradients cannot move the log-evidence ...
        assert last[1] - last[0] < first[1] - first[0]  # ... and narrows the gap
    else:
        assert last[0] > first[0]  # the M-step by gradients raises the bound

# %% [markdown]
# **Jointly.** Then both at once: the whole training loop of a variational autoencoder.

# %%
vae = linear_vae(seed=1)
optimizer = torch.optim.Adam(vae.parameters(), lr=0.02)
epochs = 300
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
joint_history = [exact_state(vae)]

for _ in range(epochs):
    for batch in loader:
        (-bound(vae, batch).surrogate.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    schedule.step()
    joint_history.append(exact_state(vae))

final_bound, final_evidence = joint_history[-1]
assert all(b <= e + 1e-10 for b, e in joint_history)  # a bound at every step
assert final_evidence - final_bound < 0.01
assert abs(final_bound - maximum) < 0.01
print(f"start   ELBO {joint_history[0][0]:9.4f}   log p(x) {joint_history[0][1]:9.4f}")
print(f"end     ELBO {final_bound:9.4f}   log p(x) {final_evidence:9.4f}   nats per datum")
print(f"largest possible log p(x)       {maximum:9.4f}")

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.4, 3.9))
for ax, history in ((left, alternating), (middle, joint_history)):
    b, e = zip(*history, strict=True)
    ax.fill_between(range(len(b)), b, e, color=GAP, alpha=0.3, lw=0, label="gap, KL(q‖p(z|x))")
    ax.plot(e, color=EVIDENCE, label=r"$\log p(x)$, exact")
    ax.plot(b, color=BOUND, label="ELBO, exact")
    ax.axhline(maximum, color="black", ls=":", lw=1.4, label="maximum, in closed form")
    ax.set(xlabel="epoch", ylabel="nats per datum", ylim=(maximum - 5.0, maximum + 0.45))
for block in range(6):
    left.axvspan(20 * block, 20 * (block + 1), color="#F2F2F2" if block % 2 else "white", zorder=0)
    left.text(20 * block + 10, maximum + 0.14, "EM"[block % 2], ha="center", fontsize=9)
left.set_xlim(0, 120)
left.set_title("By turns: φ narrows the gap,\nθ raises the bound")
middle.set_xlim(0, 150)
middle.set_title("Jointly: the ELBO climbs to the\nexact log-evidence (first 150 epochs)")
middle.legend(loc="lower right", fontsize=8.5)
right.semilogy([e - b for b, e in alternating], color=GREY, ls="--", label="by turns")
right.semilogy([e - b for b, e in joint_history], color=GAP, label="jointly")
right.set(xlabel="epoch", ylabel="gap (nats per datum)")
right.set_title("The gap shrinks towards zero")
right.legend(fontsize=8.5)
plt.show()

# %% [markdown]
# Why can a $q$ with a *diagonal* covariance close the gap at all? The log-evidence depends on $W$
# through $WW^\top$ only, so the latent axes may be rotated freely. The bound does see the
# rotation, and its maximum picks one in which the posterior is diagonal (Lucas, Tucker, Grosse
# and Norouzi, 2019). In a model without that freedom a part of the gap would stay, as a rule.

# %%
covariance = as_linear_gaussian(vae).posterior(y[:1]).covariance_matrix[0].detach()
correlation = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
first = linear.posterior(y[:1]).covariance_matrix[0].detach()
correlation_of_truth = first[0, 1] / (first[0, 0] * first[1, 1]).sqrt()
assert abs(correlation) < 0.1
print(
    f"posterior correlation of z_1 and z_2: {correlation_of_truth:+.3f} in the true model, ",
    end="",
)
print(f"{correlation.abs():.2f} after training")

# %% [markdown]
# ## 7. Closer still: average before the logarithm
#
# Where the gap of the ELBO stays open, Jensen's inequality says how to narrow it without a better
# $q$: average $K$ weights $p(x, z_k) / q(z_k \mid x)$ *before* taking the logarithm. The average
# varies less than one weight, so the logarithm loses less (Burda, Grosse and Salakhutdinov,
# 2016):
#
# $$\mathcal L_K = \mathbb E_{z_1, \dots, z_K \sim q}\Big[\log \frac1K \sum_{k=1}^K
#   \frac{p(x, z_k)}{q(z_k \mid x)}\Big], \qquad
#   \mathcal F = \mathcal L_1 \le \mathcal L_2 \le \dots \le \mathcal L_K \to \log p(x).$$
#
# If $q$ is the posterior, every weight equals $p(x)$, and every $K$ gives $\log p(x)$ exactly.

# %%
for k in (1, 2, 7, 50):
    assert agree(vi.IWAE(num_samples=k)(linear, y).value, linear.log_evidence(y))

crude = WithPosterior(linear, crude_q)  # random samples again
eight = y[:8]
with torch.no_grad():
    floor = vi.ELBO(num_samples=K)(
        WithPosterior(linear, lambda x: cubature(crude_q(x))), eight
    ).value.mean()
    ceiling = linear.log_evidence(eight).mean()

torch.manual_seed(0)
sizes = [2**i for i in range(8)]
means, errors = [], []
for k in sizes:
    repeats = 2**15 // k
    with torch.no_grad():
        value = vi.IWAE(num_samples=k)(crude, eight.repeat(repeats, 1)).value
    value = value.view(repeats, 8).mean(1)
    means.append(value.mean().item())
    errors.append(value.std().item() / math.sqrt(repeats))

assert abs(means[0] - floor) < 4 * errors[0]  # K = 1 is the ELBO
assert all(b > a for a, b in zip(means, means[1:], strict=False))  # rises with K
assert all(m < ceiling + 4 * s for m, s in zip(means, errors, strict=True))  # towards log p(x)
print(f"  ELBO    {floor:9.4f}")
for k, m, s in zip(sizes, means, errors, strict=True):
    print(f"  K = {k:<4d}{m:9.4f} ± {s:.4f}")
print(f"  log p(x){ceiling:9.4f}   nats per datum")

# %%
figure, ax = plt.subplots(figsize=(6.8, 3.7))
ax.axhline(ceiling, color=EVIDENCE, label=r"$\log p(x)$, exact")
ax.axhline(floor, color=BOUND, label="ELBO, exact")
ax.errorbar(
    sizes,
    means,
    [4 * s for s in errors],
    color="black",
    marker="o",
    ms=5,
    lw=1.4,
    capsize=3,
    label=r"$\mathcal{L}_K$ (bars: 4 standard errors)",
)
ax.fill_between(sizes, means, ceiling, color=GAP, alpha=0.25, lw=0, label="gap")
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, [str(k) for k in sizes])
ax.set(xlabel="K, samples in the average", ylabel="nats per datum")
ax.set_title("The same q, a tighter bound: $\\mathcal{L}_K$ rises from the ELBO to log p(x)")
ax.legend(loc="center right")
plt.show()

# %% [markdown]
# With a large $K$ this becomes an estimate of $\log p(x)$, and `vi.log_likelihood` reports it
# with its standard error.

# %%
estimate = vi.log_likelihood(crude, eight, num_samples=5000)
error = estimate.value - linear.log_evidence(eight)
assert (error.abs() < 4 * estimate.standard_error).all()
for e, s, truth in zip(
    estimate.value, estimate.standard_error, linear.log_evidence(eight), strict=True
):
    print(f"{e:9.4f} ± {s:.4f}   exact {truth:9.4f} nats")

# %% [markdown]
# ## 8. The slips, in one list
#
# 1. **Names.** "$L$" and "$\ell$", a "loss", "evidence of lower bound": one log-likelihood
#    $\ell$, which is maximised; the *evidence lower bound*. (Section 1)
# 2. **Jensen, captions.** $\mathbb E[f(y)]$ is the average of the function, $f(\mathbb E[y])$ the
#    function of the average; the note has them exchanged. (Section 2)
# 3. **Jensen, proof.** $p(z \mid x)$ stands where $q(z \mid x)$ belongs. With it the bound is an
#    equality for every $q$, and the last step takes a cross-entropy for an entropy. (Section 3)
# 4. **"Loss [...] is higher".** The *log-likelihood* of $x$ is *at least* the expected one of $x$
#    and $z$ (not $q$) plus $H(q)$; a loss is at most. (Section 3)
# 5. **"Decomposed to marginal, surrogate, and posterior".** The marginal is decomposed into the
#    surrogate and a KL divergence. (Section 4)
# 6. **RHS $\ge$ LHS.** $\ell \ge \mathcal F$: the left-hand side is the larger one once the KL is
#    dropped. (Section 4)
# 7. **KL(true ‖ current).** $\mathrm{KL}(q \,\Vert\, p(z \mid x, \theta))$, the current estimate
#    first. (Section 4)
# 8. **"We don't actually observe $q$".** We do not observe $z$; $q$ is ours to choose. (Section
#    5)
# 9. **"Optimize $L$ [min]".** $\max_\theta \ell = \max_\theta \max_q \mathcal F$. (Section 5)
# 10. **"$L$ not dependent on KL"; "max, min, max".** $\ell$ does not depend on $q$; the E-step
#     leaves $\ell$ alone, the M-step lets the KL grow. (Section 5)
# 11. **From the bound to the maximiser.** A lower bound does not suffice; one that *touches*
#     does, step by step. (Section 5)
# 12. **GAN.** EM climbs one function; a GAN is a game of two. (Section 5)
#
# Everything else in the note stands, and its last line is the rest of this library: *better $q$
# for $\theta$, better $\theta$ for $q$, end to end.*
#
# ### References
#
# * Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
# * Neal and Hinton (1998), [A view of the EM algorithm that justifies incremental, sparse, and
#   other variants](https://doi.org/10.1007/978-94-011-5014-9_12).
# * Tipping and Bishop (1999), [Probabilistic principal component
#   analysis](https://doi.org/10.1111/1467-9868.00196).
# * Kingma and Welling (2014), [Auto-encoding variational Bayes](https://arxiv.org/abs/1312.6114).
# * Burda, Grosse and Salakhutdinov (2016), [Importance weighted
#   autoencoders](https://arxiv.org/abs/1509.00519).
# * Lucas, Tucker, Grosse and Norouzi (2019), [Don't blame the ELBO! A linear VAE perspective on
#   posterior collapse](https://arxiv.org/abs/1911.02469).
