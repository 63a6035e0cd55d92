"""Commands: given through the API, signed and sent by the ingest, answered by the gateway."""
