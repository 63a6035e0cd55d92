"""Desired configurations: versions, differences in words, stages, and what gateways say of them."""
