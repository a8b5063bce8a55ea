"""Lightning as its users write it: a DataLoader, automatic optimisation, the loss logged."""

import tempfile

import lightning.pytorch as pl
import torch
from _common import BATCH, DEVICE, EPOCHS, RATE, Stopwatch, finish, train_grey
from _net import Net, weights
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset


class Module(pl.LightningModule):
    """The hooks that most tutorials show."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.net = Net()
        self.watch = watch

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Minus the ELBO of a batch."""
        loss = self.net.loss(torch.bernoulli(batch[0]))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        """Take the time."""
        self.watch.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with its default settings."""
        return torch.optim.Adam(self.parameters(), lr=RATE)


torch.manual_seed(0)
data = torch.from_numpy(train_grey()).float() / 255
watch = Stopwatch(len(data) // BATCH)
module = Module(watch)
with tempfile.TemporaryDirectory() as folder:
    loader = DataLoader(TensorDataset(data), batch_size=BATCH, shuffle=True)
    logger = TensorBoardLogger(folder)
    trainer = pl.Trainer(accelerator=DEVICE, devices=1, max_epochs=EPOCHS, logger=logger)
    trainer.fit(module, loader)
net = module.net.cpu()
finish(watch, weights(net.encoder, net.decoder), net.log_likelihood, "torch", "lightning")
