"""Buildings and plants."""
