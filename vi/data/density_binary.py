"""Binary tables of the density-estimation literature: nltcs, plants, accidents and others."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vi.data.base import DataSet, LoadedData
from vi.data.reading.files import (
    Contents,
    KnownFile,
    all_there,
    data_dir,
    file_facts,
    not_found,
    read_known,
)
from vi.data.source import Items, Source, assemble
from vi.errors import ConfigurationError

BinaryTable = Literal[
    "nltcs",
    "plants",
    "baudio",
    "jester",
    "bnetflix",
    "accidents",
    "mushrooms",
    "dna",
    "nips",
]

# sha256 of the train, valid and test file of every data set
_SHA256: dict[str, tuple[str, str, str]] = {
    "nltcs": (
        "e547a7aedad1dd2f7177030881ab1b92c7e24ae5464c71a0f1f89daecaf52b30",
        "93bbbf5c6febdc9bc6e5b5bfab636f4dc0685ab2896d24b23dd267794c3bfcf6",
        "f9ffa6b74b27dc03bee3203d157ee31079e80b13be40d0c0093d635c25aed523",
    ),
    "plants": (
        "1fb1219ff94068d12a563f9e81f8889a1885f41e867884cff608669300c6848f",
        "47834ed318b2d74f48e4b083226ef47fd446d41986012ceae19d230574821b34",
        "95f53c033cd1d86467aec2610dc5bfe014534206c2da4919f73bcab246ab8755",
    ),
    "baudio": (
        "b1ec73f4aa9d4ce48b465ded865cc3d22b3f68cf6258f9e15fbef8902138add1",
        "7164d8a4943f74953f0e982002d84693fdf483e17f69e7407dc939c5ce5622fe",
        "1474f3206f1f35e099803a0f40b0cd209bdc8d787825095ef6cb23fd87ed0d05",
    ),
    "jester": (
        "dd93578c3359d5b234bb278bf0901c5215d83b910f7d51d7c91951a0a4c244cd",
        "91df833941e189265345898d3f63211560c2456df599f34beee8e95381ee7524",
        "346044fb561cf18f284f7e9d5896178b03048991b6ebb6f7482885fccbc16082",
    ),
    "bnetflix": (
        "73c87cf0635ec734cc0726a5c644b904ff33e81ea51f1049db0e77b787ebad7c",
        "7f0a3e597c6f305f707f9ecd2b2aa523c576cdb17fdc5d902fc832ebea5163de",
        "af73990782fd2f146d96059855c4f3bbb6a7a7caefc417ff620a3ed1415a2395",
    ),
    "accidents": (
        "a76648cf00772c275b4277b21d858e235e3c6d3c5ef30beeb4958189b6bed21c",
        "fd3a80a0f411f157cf3772a057d26980bb166cb89b10cafb818a53f1ec30d46d",
        "df3f1b6c035bf3e306a7d7127320e479d2546ce14a5d6d3043e6be0925b8b414",
    ),
    "mushrooms": (
        "465c712c066bbbee3ccceded24bbe42b4c379df67b524e28cce9bf3a8b83f27b",
        "5a067e6854df71623415e6adc8e913cbff766637a324788882ba800907aa5385",
        "313c5f04b5d0a18bee2f2ffa264be265d09f5362aad6f714637acd9552f81aa0",
    ),
    "dna": (
        "bb8de0ca4b6ad9b610036b7a302962ebecd4b504354b14c02c7d0bee48d207d9",
        "4b0fc89cda5eaf5c75926e281afb6af99de194a546070d5b81b524ba251f4f3f",
        "fec3ae7b26804020a9c43c99828441c5e08bb76b23719368a74ad2b09af99100",
    ),
    "nips": (
        "4d744cb1f2c725405bff6ef6878df06eafbbc2a91f0510e0f3d8a508b05ec7bb",
        "b06acd8e6a701d63d4e58b5076c11c59bcd0343fb9b1fbb5997459d3e6b8ca96",
        "48711bdaffbd43aa439679785e19d9cc80c64a157fa84eadc5dce60ee4edf7bc",
    ),
}


class DensityBinary(DataSet):
    """A data set for comparing densities of binary data: (D,) bits, with its own split.

    ===========  ====  ======  =====  =====
    name            D   train    val   test
    ===========  ====  ======  =====  =====
    nltcs          16   16181   2157   3236
    plants         69   17412   2321   3482
    baudio        100   15000   2000   3000
    jester        100    9000   1000   4116
    bnetflix      100   15000   2000   3000
    accidents     111   12758   1700   2551
    mushrooms     112    2000    500   5624
    dna           180    1600    400   1186
    nips          500     400    100   1240
    ===========  ====  ======  =====  =====

    Collected by Lowd & Davis 2010, "Learning Markov network structure with decision trees" (ICDM);
    Van Haaren & Davis 2012, https://doi.org/10.1609/aaai.v26i1.8315 (accidents, dna); Larochelle &
    Murray 2011, http://proceedings.mlr.press/v15/larochelle11a.html (mushrooms, nips).

    Args:
        name: The data set.
        dir: The data folder; None means VI_DATA_DIR, else ``data``. Its folder
            ``density_binary/<name>`` contains ``<name>.train.data``, ``<name>.valid.data`` and
            ``<name>.test.data``, or their .gz.

    Raises:
        ConfigurationError: There is no such data set.
        DataError: The files are missing or damaged.
    """

    def __init__(self, name: BinaryTable = "nltcs", dir: str | None = None) -> None:
        self.name, self.dir = name, dir
        self.files = files_of(name)

    def load(self, seed: int = 0) -> LoadedData:
        """Read the three files; ``seed`` has no effect."""
        root = data_dir(self.dir)
        if not all_there(root, self.files):
            raise not_found(self.name, root, self.files)
        contents = [read_known(self.name, root, known) for known in self.files]
        train, val, test = (Items(_bits(part)) for part in contents)
        facts = {
            "data/name": self.name,
            "data/split": "the files' own",
            **file_facts(contents),
            "data/binarize": "static",
        }
        return assemble(Source(train, val, test, facts=facts))


def files_of(name: str) -> tuple[KnownFile, ...]:
    """Return the training, validation and test file of a data set.

    Raises:
        ConfigurationError: There is no such data set.

    >>> files_of("dna")[0].name
    'density_binary/dna/dna.train.data'
    """
    if name not in _SHA256:
        raise ConfigurationError(
            f"there is no binary table {name!r}", hint=f"data.name is one of {', '.join(_SHA256)}"
        )
    parts = zip(("train", "valid", "test"), _SHA256[name], strict=True)
    return tuple(
        KnownFile(f"density_binary/{name}/{name}.{part}.data", sha256) for part, sha256 in parts
    )


def _bits(contents: Contents) -> UInt8[Tensor, "N D"]:
    """Return the digits 0 and 1 of a file.

    Every second byte is a digit; the bytes between them are commas and line ends.
    """
    width = (contents.data.index(b"\n") + 1) // 2
    characters = np.frombuffer(contents.data, np.uint8)
    return torch.from_numpy(characters[::2] - ord("0")).reshape(-1, width)
