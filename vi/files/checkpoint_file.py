"""A checkpoint file with its size and checksum inside: damage is found before it is unpacked.

The size is stored in the padding of the first record's header, and the sha256 of all preceding
bytes in the comment at the end of the archive. Therefore ``torch.load`` and all readers of zip
files can still open the file.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vi.errors import CheckpointError
from vi.files.places import require_checkpoint

_PADDED = slice(46, 50)  # in the first record: the name of the padding and its length
_PADDING = b"FB\x0e\x00"
_MARK, _SIZE = slice(50, 56), slice(56, 64)
_SIZED = b"vi-siz"
_COMMENT = b"vi sha256 "
_DIGEST = 64
_TAIL = len(_COMMENT) + _DIGEST
_NO_CHECKPOINT = "is not a checkpoint of a run, or is damaged"


def sealed(checkpoint: Mapping[str, Any]) -> memoryview:
    """Return the bytes of a checkpoint file.

    Args:
        checkpoint: Values, tensors and collections of them, as ``torch.save`` accepts.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    buffer.seek(-2, io.SEEK_END)  # the length of the archive's comment
    buffer.write(_TAIL.to_bytes(2, "little") + _COMMENT + bytes(_DIGEST))
    content = buffer.getbuffer()
    if content[_PADDED] == _PADDING:
        content[_MARK] = _SIZED
        content[_SIZE] = len(content).to_bytes(8, "little")
    content[-_DIGEST:] = _sha256(content[:-_DIGEST])
    return content


def fault(content: bytes) -> str | None:
    """Return what is wrong with the bytes of a file, as a clause without subject, or None.

    A truncated file is recognised by its size, a changed one by its sha256. Files of older
    versions have neither; of those only the beginning is checked.

    >>> content = bytes(sealed({"epoch": 1}))
    >>> fault(content), fault(content[:-1] + b"x"), fault(b"")
    (None, 'checksum mismatch', 'is empty')
    """
    if not content:
        return "is empty"
    if b"PK\x03\x04".startswith(content[:4]) and len(content) < _SIZE.stop:
        return f"truncated ({len(content)} bytes)"
    sized, summed = content[_MARK] == _SIZED, content[-_TAIL:-_DIGEST] == _COMMENT
    size = int.from_bytes(content[_SIZE], "little") if sized else len(content)
    if summed:
        same = _sha256(content[:-_DIGEST]) == content[-_DIGEST:] and size == len(content)
        return None if same else "checksum mismatch"
    if len(content) < size:
        return f"truncated ({len(content)} of {size} bytes)"
    if sized:
        return "checksum mismatch"
    return None if content.startswith(b"PK\x03\x04") else _NO_CHECKPOINT


def is_sealed(path: Path) -> bool:
    """Whether a file has a checksum; files of older versions have none.

    Only the end of the file is read, so that this is fast for large files.
    """
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), io.SEEK_END)
        return file.read().startswith(_COMMENT)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a file, with tensors on the processor; code in the file is never run.

    Args:
        path: The file.

    Returns:
        The values that were saved.

    Raises:
        CheckpointError: It is missing, damaged, or not a checkpoint. The hint names the newest
            good checkpoint of the folder, if there is one.
    """
    content = _bytes(path)
    wrong = fault(content)
    if wrong is not None:
        raise _damaged(path, wrong)
    return _unpacked(path, content)


def _unpacked(path: Path, content: bytes) -> dict[str, Any]:
    """Return the content of a file, if it does not unpack to more bytes than it has."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole = sum(record.file_size for record in archive.infolist()) <= len(content)
        loaded = whole and torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader can raise any error for a damaged file
        raise _damaged(path, _NO_CHECKPOINT) from error
    if not isinstance(loaded, dict):
        raise _damaged(path, _NO_CHECKPOINT)
    return loaded


def _bytes(path: Path) -> bytes:
    """Return the bytes of a file."""
    require_checkpoint(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}", hint="change its permissions"
        ) from error


def _damaged(path: Path, wrong: str) -> CheckpointError:
    """Return the error for a damaged file, with the newest good checkpoint as a hint."""
    good = newest_good(path.parent, but=path)
    return CheckpointError(
        f"{path} {wrong}" if wrong.startswith("is ") else f"{path}: {wrong}",
        hint=f"{good} is the newest good checkpoint of the folder"
        if good
        else "give the checkpoints/last.ckpt of a run; model/ holds weights for init_from=RUN",
    )


def newest_good(folder: Path, but: Path) -> Path | None:
    """Return the most recent file of a folder whose checksum is right, or None.

    Args:
        folder: A folder of checkpoints.
        but: A file that is not considered.
    """
    others = [path for path in folder.glob("*.ckpt") if path.is_file() and path.name != but.name]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        if is_sealed(path) and fault(path.read_bytes()) is None:
            return path
    return None


def _sha256(content: bytes | memoryview) -> bytes:
    """Return the hexadecimal sha256 of the content."""
    return hashlib.sha256(content).hexdigest().encode()
