"""Alarms: findings, limits and gateway conditions that a person must act on (ISA-18.2, IEC 62682)."""
