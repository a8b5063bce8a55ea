"""Pythae's VAE and trainer."""

import tempfile

import numpy as np
import torch
from _common import BATCH, DIM, EPOCHS, LATENT, RATE, SAMPLES, Stopwatch, finish, train_grey
from _net import Net, weights
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """The shared network, in Pythae's words."""

    def __init__(self, layers: nn.Module) -> None:
        BaseEncoder.__init__(self)
        self.layers = layers

    def forward(self, x: Tensor) -> ModelOutput:
        """Mean and log variance."""
        mu, log_variance = self.layers(x).chunk(2, -1)
        return ModelOutput(embedding=mu, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """The shared network, in Pythae's words."""

    def __init__(self, layers: nn.Module) -> None:
        BaseDecoder.__init__(self)
        self.layers = layers

    def forward(self, z: Tensor) -> ModelOutput:
        """Pythae wants probabilities."""
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


class Bits(BaseDataset):
    """Drawn anew at every visit."""

    def __getitem__(self, index: int) -> DatasetOutput:
        return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])


class Clock(TrainingCallback):
    """Takes the time."""

    def on_train_step_end(self, *_: object, **__: object) -> None:
        """Told by the trainer."""
        watch.step()


@torch.no_grad()
def log_likelihood(x: np.ndarray) -> float:
    """Pythae's own, with more samples at once than its default."""
    return model.get_nll(torch.from_numpy(x), n_samples=SAMPLES, batch_size=SAMPLES // 10)


torch.manual_seed(0)
data = torch.from_numpy(train_grey()).float() / 255
watch = Stopwatch(len(data) // BATCH)
net = Net()
config = VAEConfig(input_dim=(DIM,), latent_dim=LATENT, reconstruction_loss="bce")
model = VAE(config, Encoder(net.encoder), Decoder(net.decoder))
with tempfile.TemporaryDirectory() as folder:
    settings = BaseTrainerConfig(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_epochs=EPOCHS,
        learning_rate=RATE,
        no_cuda=True,
    )
    split = Bits(data, torch.zeros(len(data)))
    BaseTrainer(model, split, training_config=settings, callbacks=[Clock()]).train()
finish(watch, weights(model.encoder, model.decoder), log_likelihood, "torch", "pythae")
