"""What a posterior costs: the time of a training step with each, beside the diagonal Gaussian.

    python benchmarks/posterior_cost.py                                      # some minutes
    python benchmarks/posterior_cost.py --turns 3 --only flow,full_gaussian  # not written

Every option of the group, with the bound that ``python train.py posterior=..`` uses and a prior
that lives where it lives, takes turns in one process; the medians are compared.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch
from _machine import Load, foot
from _timing import Work, interleaved, table

import vi
from vi.cli.composing.compose import composed
from vi.config.build import build
from vi.config.registry import options
from vi.config.run import Run
from vi.errors import ConfigurationError
from vi.fast.memory import keep_freed_memory
from vi.schemes.gradient import FUSED_ADAM

_B, _D, _H, _Z = 128, 784, 500, 32
_BASE, _SIMPLEST = "diagonal_gaussian", "standard_normal"
_NOTE = f"""A VAE {_D}-{_H}-{_H}-z-{_H}-{_H}-{_D}, z of {_Z} dimensions or categories, batch {_B},
Adam, float32: forward, backward and optimiser. Where the states of a discrete z are few, a bound
sums over all of them, each a pass through the decoder."""


def main() -> None:
    """Measure, print, and write ``results/posterior_cost.md``."""
    parser = argparse.ArgumentParser(description="The time of a step with each posterior.")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--only", default="", help="names of posteriors, with commas")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    names = chosen.only.split(",") if chosen.only else [*options("posterior")]
    keep_freed_memory()
    with Load() as load:
        measured = measure([_BASE, *(name for name in names if name != _BASE)], chosen.turns)
    end = foot("python benchmarks/posterior_cost.py", [load.others])
    text = f"# What a posterior costs\n\n{measured}\n{end}"
    print(text)
    if not chosen.only:  # a part of the table does not replace the whole
        path = Path(__file__).parent / "results" / "posterior_cost.md"
        path.write_text(text, encoding="utf-8")


def measure(names: list[str], turns: int) -> str:
    """A table in Markdown, the cheapest first; the first of the names counts as 1."""
    parts = {name: configured(name) for name in names}
    steps = {name: step(vae(p), build("bound", p["bound"])) for name, p in parts.items()}
    refused = [name for name, work in steps.items() if not _runs(work)]
    steps = {name: work for name, work in steps.items() if name not in refused}
    seconds = dict(zip(steps, interleaved(*steps.values(), turns=turns), strict=True))
    rows = [
        f"{name} | {_class(parts[name], 'prior')} | {_class(parts[name], 'bound')} | "
        f"{1e3 * seconds[name]:.2f} | {seconds[name] / seconds[names[0]]:.2f}"
        for name in sorted(steps, key=seconds.__getitem__)
    ]
    note = f"{_NOTE} Medians of {turns} turns."
    if refused:
        note += f"\nNot trained by a bound alone at this size: {', '.join(refused)}."
    return table("A step", "posterior | prior | bound | ms | ratio", rows, note)


def _runs(work: Work) -> bool:
    try:
        work()
    except ConfigurationError:
        return False
    return True


def _class(parts: dict[str, Any], group: str) -> str:
    return parts[group]["_target_"].rpartition(".")[2]


def configured(posterior: str) -> dict[str, Any]:
    """What ``train.py`` makes of this posterior and the first prior that fits it."""
    sizes = [f"latent_dim={_Z}", f"num_components={_Z}", f"hidden=[{_H},{_H}]"]
    for prior in (_SIMPLEST, *options("prior")):
        parts = composed("train", [f"posterior={posterior}", f"prior={prior}", *sizes], Run)
        try:
            vae(parts)
        except ConfigurationError:
            continue
        return parts
    raise SystemExit(f"no prior lives where posterior={posterior} lives")


def vae(parts: dict[str, Any]) -> vi.VAE:
    """The model of a configuration, for flat bits."""
    torch.manual_seed(0)
    return build(
        "model", parts["model"], defaults={**parts, "data_shape": (_D,), "context_dim": 0}
    )


def step(model: vi.VAE, bound: vi.Bound) -> Work:
    """One optimiser step on the same bits."""
    x = torch.randint(2, (_B, _D)).float()
    optimizer = FUSED_ADAM(model.parameters(), lr=1e-3)

    def work() -> None:
        optimizer.zero_grad()
        (-bound(model, x).surrogate.mean()).backward()
        optimizer.step()

    return work


if __name__ == "__main__":
    main()
