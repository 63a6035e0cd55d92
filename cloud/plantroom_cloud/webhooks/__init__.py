"""Webhooks: what happens is sent to addresses of the company's own, signed, until it is taken."""
