"""The cloud service: ingest, store, meaning, publishing, REST."""
