"""The broker: Mosquitto where there is one, else an embedded one; mutual TLS either way."""
