"""The checks of an audit: every class here that is not abstract is run."""
