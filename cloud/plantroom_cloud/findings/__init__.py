"""What detectors found."""
