"""Data sets by name: ``vi.data.MNIST()``, ``vi.data.Digits()``, your own CSV, NPZ or images."""

# ruff: noqa: I001
# Written by `python -m tests.support.stubs`, which a new option asks for.

from vi.data import reading as reading
from vi.data.base import Batch as Batch
from vi.data.base import DataSet as DataSet
from vi.data.base import LoadedData as LoadedData
from vi.data.base import Split as Split
from vi.data.base import Values as Values
from vi.data.binary import Caltech101Silhouettes as Caltech101Silhouettes
from vi.data.binary import StaticMNIST as StaticMNIST
from vi.data.binary_latent import BinaryLatentData as BinaryLatentData
from vi.data.csv import CSV as CSV
from vi.data.density_binary import DensityBinary as DensityBinary
from vi.data.digits import Digits as Digits
from vi.data.frey_faces import FreyFaces as FreyFaces
from vi.data.geyser import Geyser as Geyser
from vi.data.image_folder import ImageFolder as ImageFolder
from vi.data.mnist import FashionMNIST as FashionMNIST
from vi.data.mnist import MNIST as MNIST
from vi.data.npz import NPZ as NPZ
from vi.data.omniglot import Omniglot as Omniglot
from vi.data.single_cell import SMFish as SMFish
from vi.data.single_cell import WormNeurons as WormNeurons
from vi.data.synthetic import LinearGaussianData as LinearGaussianData
from vi.data.synthetic import Mixture2D as Mixture2D
from vi.data.two_moons import TwoMoons as TwoMoons
