"""Refused rows: to be looked at, corrected and released, or discarded."""
