"""Ingest: decode, store idempotently, answer after the commit."""
