"""The analytics, one file each: a new one registers itself and edits no other file."""
