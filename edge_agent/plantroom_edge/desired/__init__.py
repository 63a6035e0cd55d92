"""What the cloud wants this gateway to read: checked, tried, and taken back where it does no good."""
