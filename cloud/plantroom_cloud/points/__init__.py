"""Points and the devices that have them."""
