"""Governance: rules over what a company has, waivers, gates; keeping, handing over and deleting data."""
