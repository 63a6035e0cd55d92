"""Figures of batteries: pure analytics over samples, and the routes that show them."""
