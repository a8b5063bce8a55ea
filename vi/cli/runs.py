"""Finished runs as commands read them, and the start of these commands."""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.cli.composing.compose import composed
from vi.cli.reporting import reporting
from vi.config.registry import config_dir
from vi.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    import numpy as np

    from vi.bounds.base import Bound
    from vi.data.base import LoadedData, Split
    from vi.files.findings import Finding
    from vi.models.base import LatentVariableModel
    from vi.training.devices import DeviceName


def start(name: str, command: Callable[..., Any], arguments: Sequence[str] | None) -> None:
    """Compose ``configs/<name>.yaml`` with the command line and call the command.

    Args:
        name: Name of the command.
        command: Function whose arguments are the options.
        arguments: The command line after the name; None for that of this process.
    """
    arguments = list(sys.argv[2:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        text = (config_dir() / f"{name}.yaml").read_text(encoding="utf-8")
        print(f"{command.__doc__}\n\npython -m vi {name} name=value ...\n\n{text}")
        return
    with reporting():
        values = composed(name, arguments, command)
        if values.get("seed") is not None:
            from vi.training.settings import require_seed  # torch is slow to import

            require_seed(values["seed"])
        command(**values)


@dataclass(frozen=True)
class Run:
    """A model with the data and the bound of its training, on one device.

    Args:
        model: The model, with the weights that the run kept.
        bound: The bound that was maximised.
        data: The data, in the shape and precision of the model.
        seed: The seed of the run.
        directory: The run directory.
        steps: The optimiser steps of its training.
    """

    model: "LatentVariableModel"
    bound: "Bound"
    data: "LoadedData"
    seed: int
    directory: Path
    steps: int = 0

    def record(self, finding: "Finding", out: str | None = None) -> Path:
        """Add a finding to evaluation.json and report.md of the run, and to its TensorBoard.

        Args:
            finding: What was found.
            out: Another JSON file, which has this finding beside what is there; the run directory
                then stays as it is.

        Returns:
            The path of the JSON file.
        """
        from vi.files.findings import add_finding
        from vi.training.loggers.findings import show_finding

        path = add_finding(self.directory, finding, Path(out) if out else None)
        if out is None:
            show_finding(self.directory, finding, self.steps)
        return path

    def split(self, name: str) -> "Split":
        """Return the train, val or test split.

        Raises:
            ConfigurationError: The run has no such split.
        """
        split = getattr(self.data, name)
        if split is None:
            raise ConfigurationError(
                "the run has no validation data", hint="choose split=test or split=train"
            )
        return split


def open_run(
    run: str,
    *,
    device: "DeviceName" = "auto",
    data_dir: str | None = None,
    plugins: Sequence[str] = (),
    bits: int | None = None,
) -> Run:
    """Load model, bound and data of a run directory.

    Args:
        run: The run directory.
        device: auto, cpu or gpu.
        data_dir: Folder of the data; None for that of the run.
        plugins: Packages beside vi that provide classes of the run.
        bits: Seed of the bits of validation and test data under dynamic binarisation; None for
            that of the run.

    Raises:
        CheckpointError: The run did not finish, or its data are not an option of the command line.
        DataError: The data are missing, damaged or changed.
    """
    from vi.data.loading import loaded
    from vi.files.model_directory import model_directory
    from vi.files.model_files import built, load, read_config
    from vi.files.same_data import require_same_data
    from vi.training.devices import chosen_device

    directory = model_directory(run)
    config = read_config(directory)
    if "data" not in config or "bound" not in config:
        raise CheckpointError(
            f"{directory} does not name the data that it was trained on",
            hint="evaluate it from Python: vi.load, then vi.log_likelihood(model, x)",
        )
    place = {} if data_dir is None else {"dir": data_dir}
    seed = config["facts"].get("seed", 0)
    data = loaded(
        built("data", config, directory, plugins, **place), seed if bits is None else bits
    )
    require_same_data(config["facts"], data.facts)
    model = load(directory, device=chosen_device(device), plugins=plugins)
    bound = built("bound", config, directory, plugins)
    steps = config["facts"].get("train/steps", 0)
    return Run(model, bound, _placed(data, model), seed, Path(run), steps)


def _placed(data: "LoadedData", model: "LatentVariableModel") -> "LoadedData":
    """Return the data in the model's shape and on its device."""
    data = data.viewed(model.data_shape, doubles=model.takes_doubles)
    device = next(model.parameters()).device
    for split in (data.train, data.val, data.test):
        if split is not None:
            split.to(device)
    return data


def write_arrays(path: Path, arrays: "dict[str, np.ndarray]") -> Path:
    """Write an NPZ file atomically.

    Returns:
        The path, which ends in .npz.

    Raises:
        RunDirectoryError: The folder or the file cannot be written.
    """
    import numpy as np

    from vi.files.atomic import write_atomically

    path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomically(path, buffer.getvalue())
    return path
