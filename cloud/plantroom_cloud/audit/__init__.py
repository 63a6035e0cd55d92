"""The audit: who did what, in a chain of hashes per company, written with the act itself."""

from __future__ import annotations

from plantroom_cloud.audit.recording import cli_user, display_name, record

__all__ = ["cli_user", "display_name", "record"]
