"""Gateways: certificates, provisioning, the account of what they sent."""
