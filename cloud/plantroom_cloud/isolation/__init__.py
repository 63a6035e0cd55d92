"""The wall between companies: what the database holds to by itself, and the few ways across."""
