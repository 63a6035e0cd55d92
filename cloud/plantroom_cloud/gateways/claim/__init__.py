"""How a device becomes a gateway: it begins, somebody claims it, it gets its certificate."""
