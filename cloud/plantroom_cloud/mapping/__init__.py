"""What points mean."""
