"""Files of others, read with care: bounded, checked, and refused with a reason."""
