"""Publishing: what a company's mapped points say goes on to its platforms, exactly once by key.

::

    outbox ─▶ worker ─▶ plan (which point means what) ─▶ publisher ─▶ platform
       ▲                                                    │
       └──────── deleted and counted after the platform has confirmed

The worker owns the outbox and waits for the mapper; a publisher owns one company's way to one
platform. A new publisher is one new module in `publishers/`.
"""
