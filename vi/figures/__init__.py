"""Pictures of models, data and training."""
