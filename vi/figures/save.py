"""Save pictures as files, and turn a failure of drawing into a warning."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from vi.errors import ViError
from vi.files.atomic import write_atomically


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, completely or not at all.

    Raises:
        RunDirectoryError: The disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # letters that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        tight = None if figure.get_layout_engine() is None else "tight"
        figure.savefig(buffer, format="png", dpi=120, bbox_inches=tight)
    write_atomically(path, buffer.getvalue())


@contextmanager
def or_warned(what: str) -> Iterator[None]:
    """Turn an error of drawing inside the ``with`` block into a warning.

    Errors of vi, such as those of writing a file, are raised.

    Args:
        what: Name of the picture, for the warning.
    """
    try:
        yield
    except ViError:
        raise
    except Exception as error:  # drawing libraries raise errors of any type
        reason = str(error).partition("\n")[0] or type(error).__name__
        warnings.warn(f"{what} could not be drawn: {reason}", stacklevel=2)
