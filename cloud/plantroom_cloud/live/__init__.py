"""What is told as it happens: a bus between processes, connections that stay open, webhooks."""
