"""The conformance kit of sync v1: plays one side over a real broker and judges the other.

It knows nothing of how either side is built: it reads the bytes on the wire with a reader of its
own (`shapes.py`) and holds them against the numbered assertions of ``docs/sync-v1.md``.
"""
