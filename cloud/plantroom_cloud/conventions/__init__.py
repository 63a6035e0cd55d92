"""What holds for every route: once under a key, so often and no oftener, so large and no larger."""
