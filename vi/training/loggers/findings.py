"""Findings about a finished run in TensorBoard, as the run ``evaluation`` beside its curves."""

from pathlib import Path

from matplotlib.image import imread

from vi.files.findings import Finding
from vi.training.loggers.tensorboard import new_writer


def show_finding(directory: Path, finding: Finding, step: int) -> None:
    """Write the numbers, the sentences and the pictures of a finding for TensorBoard.

    The numbers are ``<title>/<name>``; nothing is written for a run without curves there.

    Args:
        directory: The run directory.
        finding: What was found.
        step: The optimiser step of the weights.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    if not any(directory.glob("events.out.tfevents.*")):
        return
    board, title = new_writer(directory / "evaluation"), finding.title.replace(" ", "_")
    for number in finding.numbers:
        board.add_scalar(f"{title}/{number.name}", number.value, step)
    if finding.said:
        board.add_text(title, "\n\n".join(finding.said), step)
    for picture in finding.pictures:
        board.add_image(f"{title}/{picture.stem}", imread(picture), step, dataformats="HWC")
    board.close()
