"""A picture as a file, and what a picture that fails costs: a warning."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from vi.errors import ViError
from vi.files.atomic import write_atomically


def save_figure(figure: Figure, path: Path) -> None:
    """Write it as PNG, whole or not at all.

    Raises:
        RunDirectoryError: See ``write_atomically``.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a name in letters that the font lacks is a row of boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        tight = None if figure.get_layout_engine() is None else "tight"
        figure.savefig(buffer, format="png", dpi=120, bbox_inches=tight)
    write_atomically(path, buffer.getvalue())


@contextmanager
def or_warned(what: str) -> Iterator[None]:
    """Within this block an error of drawing is a warning; one of writing stays an error."""
    try:
        yield
    except ViError:
        raise
    except Exception as error:  # whatever a library of drawing finds wrong
        reason = str(error).partition("\n")[0] or type(error).__name__
        warnings.warn(f"{what} could not be drawn: {reason}", stacklevel=2)
