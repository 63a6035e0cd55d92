"""A client for EnOS: tokens, signatures, products, devices, publishing, edge discovery.

`signing`, `errors`, `values` and `messages` are pure; `gateway` is the one module with I/O.
"""
