"""Statistics of a data set, by which predictive checks compare data with replicated data."""
