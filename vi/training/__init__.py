"""One Lightning module, its callbacks, checkpoints and pretrained models."""
