"""What the edge agent and the cloud service both speak; depends on neither."""
