"""Writes: commands of the cloud and of people on site, carried out at most once and taken back.

::

    sync ──▶ service ──▶ judge ──▶ journal ──▶ executor ──▶ driver ──▶ device
    spool ─────▲           │          │            │
                        refuse     leases ─────────┘ take back

Off by default. What is written is on the disk as an intent before it is on the bus; what was there
before is given back when the lease ends, whatever happens in between.
"""
