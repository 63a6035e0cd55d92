"""What points said: latest values and history."""
