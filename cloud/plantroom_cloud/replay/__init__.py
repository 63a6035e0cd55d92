"""A site's samples and findings once more, in order: to a file or a topic."""
