"""Damage to files, as a function of (content, seed): flipped bits, other bytes, cuts, insertions.

for seed in range(300):
    attempt(parse, mutate(content, seed))
"""

import random
import struct
from collections.abc import Callable

MAGNITUDES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
TEXTS = (b"0", b"-1", b"9" * 30, b"1e999", b"nan", b"inf", b"\x00", b"\xff\xfe", b"\n", b'"', b",")


def mutate(content: bytes, seed: int) -> bytes:
    """The content with one to four kinds of damage, always the same for the same seed.

    The result may equal the content where damage undoes itself.

    >>> mutate(b"some content", 3) == mutate(b"some content", 3)
    True
    """
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(DAMAGES)(content, chance)
    return content


def flip_bit(content: bytes, chance: random.Random) -> bytes:
    """One bit is another."""
    at = _place(content, chance)
    return _replace(
        content, at, bytes(b ^ (1 << chance.randrange(8)) for b in content[at : at + 1])
    )


def other_byte(content: bytes, chance: random.Random) -> bytes:
    """One byte is another."""
    return _replace(content, _place(content, chance), bytes([chance.randrange(256)]))


def truncate(content: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return content[: _place(content, chance)]


def extend(content: bytes, chance: random.Random) -> bytes:
    """Something follows."""
    return content + chance.choice((bytes(chance.randrange(1, 64)), chance.randbytes(9), content))


def insert(content: bytes, chance: random.Random) -> bytes:
    """Some bytes too many."""
    at = _place(content, chance)
    return content[:at] + chance.choice((*TEXTS, chance.randbytes(3))) + content[at:]


def drop(content: bytes, chance: random.Random) -> bytes:
    """Some bytes too few."""
    at = _place(content, chance)
    return content[:at] + content[at + chance.randrange(1, 16) :]


def swap(content: bytes, chance: random.Random) -> bytes:
    """A piece of the content at another place of it."""
    start, at = _place(content, chance), _place(content, chance)
    return _replace(content, at, content[start : start + chance.randrange(1, 32)])


def other_number(content: bytes, chance: random.Random) -> bytes:
    """A number at the limits of its type, as sizes in a header are."""
    number, order = chance.choice(MAGNITUDES), chance.choice("<>")
    code = chance.choice([c for c in "BHIQ" if number < 256 ** struct.calcsize(f"<{c}")])
    return _replace(content, _place(content, chance), struct.pack(f"{order}{code}", number))


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bit,
    other_byte,
    truncate,
    extend,
    insert,
    drop,
    swap,
    other_number,
)


def _place(content: bytes, chance: random.Random) -> int:
    """Any place; every second time within the first 128 bytes, as headers are."""
    return chance.randrange(max(1, min(len(content), chance.choice((128, len(content))))))


def _replace(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece + content[at + len(piece) :]
