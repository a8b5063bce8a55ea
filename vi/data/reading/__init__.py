"""Read files of untrusted origin: bounded in size, checked, and refused with a reason."""
