"""Draw from a finished run or a saved model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.cli.runs import start, write_arrays

if TYPE_CHECKING:
    from vi.math import Shape
    from vi.models.base import LatentVariableModel


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("sample", sample_run, arguments)


def sample_run(run: str, count: int, seed: int, out: str | None, plugins: list[str]) -> None:
    """Write draws x ~ p(x|z), z ~ p(z), and the means E[x|z], to samples.npz and a picture."""
    import torch

    from vi.errors import ConfigurationError
    from vi.fast import session
    from vi.figures.pictures import samples_figure
    from vi.figures.save import save_figure
    from vi.files.model_directory import model_directory
    from vi.files.model_files import load, read_config

    if count < 1:
        raise ConfigurationError(f"count must be at least 1, got {count}", hint="count=64")
    model = load(run, plugins=plugins)
    width = model.context_dim
    given = {"context": torch.eye(width)[torch.arange(count) % width]} if width else {}
    with session(None, model):
        torch.manual_seed(seed)
        draws = model.sample(count, **given)
        torch.manual_seed(seed)  # the means of the same z
        means = model.sample_mean(count, **given)
    folder = Path(out) if out else model_directory(run).parent / "sample"
    path = write_arrays(folder / "samples.npz", {"x": draws.numpy(), "mean": means.numpy()})
    print(f"written to {path}: x and mean {tuple(draws.shape)}")
    facts = read_config(model_directory(run))["facts"]
    save_figure(samples_figure(means, _shape(facts, model), facts), folder / "samples.png")
    print(f"picture    {folder / 'samples.png'}")


def _shape(facts: Mapping[str, Any], model: "LatentVariableModel") -> "Shape":
    """Return the shape of a datum in the run; an exact model itself stores only its size."""
    written = str(facts.get("data/shape", ""))
    shape = tuple(int(n) for n in written.split("x") if n)
    return shape or tuple(model.data_shape)
