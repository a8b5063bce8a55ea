"""The run-time type checker of the tests: an int is a float, as the language says."""

from beartype import BeartypeConf, beartype

tower = beartype(conf=BeartypeConf(is_pep484_tower=True))
