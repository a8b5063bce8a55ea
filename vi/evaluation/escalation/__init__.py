"""log p(x) by the cheapest method that can be trusted, within a budget."""
