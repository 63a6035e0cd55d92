"""Thing models of a company: imported, versioned, compared; and what a site's mapping lacks of them.

::

    file or EnOS ─▶ reading (bounded, duplicates told) ─▶ shapes ─▶ documents ─▶ table, a version each
                                                                        │
    overrides (rows) ────────▶ catalog of the company ◀─────────────────┘ ─▶ schema check, publishing
"""
