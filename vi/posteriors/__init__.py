"""q(z | x): heads of the encoder."""
