"""Generic parts of the API; they know no domain."""
