"""p(x | z): heads of the decoder."""
