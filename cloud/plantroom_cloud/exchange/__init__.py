"""What points mean, to and from other tools: Brick, Haystack, EnOS, CSV."""
