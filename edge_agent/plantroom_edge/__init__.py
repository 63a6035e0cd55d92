"""The edge agent: from a device register to a durable, named, synced sample."""
