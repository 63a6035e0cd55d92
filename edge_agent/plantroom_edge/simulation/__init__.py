"""Devices made from profiles: what tests read, and what an installer tries a configuration with."""
