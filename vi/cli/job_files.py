"""Hydra's files of a job, written only when the job begins.

Hydra itself would write them earlier, and would overwrite files of another run if its directory
is then refused to the job.
"""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write

from vi.files.atomic import write_atomically

_NOTHING = "hydra.output_subdir=null"


def withheld(config: DictConfig) -> str | None:
    """Keep Hydra from writing files of the jobs of this configuration.

    Returns:
        The folder for these files within the directory of a job; None if none are wanted.
    """
    folder = config.hydra.output_subdir
    with read_write(config.hydra):
        config.hydra.output_subdir = None
        config.hydra.overrides.hydra.append(_NOTHING)  # for the jobs of a sweep
    return folder


def write(run_dir: Path, folder: str | None, config: DictConfig) -> None:
    """Write config.yaml, hydra.yaml and overrides.yaml of the present job.

    Raises:
        RunDirectoryError: A file cannot be written.
    """
    if folder is None:
        return
    node = OmegaConf.to_container(OmegaConf.create({"hydra": HydraConfig.get()}), resolve=False)
    assert isinstance(node, dict)
    said = node["hydra"]["overrides"]
    said["hydra"] = [option for option in said["hydra"] if option != _NOTHING]
    node["hydra"]["output_subdir"] = folder
    for name, part in (("config", config), ("hydra", node), ("overrides", said["task"])):
        content = OmegaConf.to_yaml(OmegaConf.create(part)).encode()
        write_atomically(run_dir / folder / f"{name}.yaml", content, durable=False)
