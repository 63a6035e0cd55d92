"""The configuration that ``plantroom-edge init`` writes: complete, commented, ready to edit."""

from __future__ import annotations

from pathlib import Path

STARTER = """\
# Plantroom edge agent. Paths are relative to this file.
# plantroom-edge scan {name}      looks for devices, `add` puts them in here
# plantroom-edge preview {name}   shows what every point says
# plantroom-edge run {name}       runs it; `apply` makes it take changes of this file

# This gateway's id: the CN of its certificate. 8 to 40 lower-case letters, digits and dashes.
gateway: {gateway}
# The building or plant it stands in.
site: {site}
# Folder for the buffer, the status file and what detectors learn.
data: ./data

{cloud}
buffer:
  limit_mb: 512    # beyond this samples are thinned, then dropped; each loss is declared
  commit_ms: 250   # a power cut costs at most what was read in this time

# One entry for each field bus; `plantroom-edge add` writes them for you.
buses:
#  - name: plant-bacnet
#    driver: bacnet
#    bind: 0.0.0.0:47808
#    interval: 5               # seconds between two reads
#  - name: main-meter
#    driver: modbus
#    host: 192.0.2.20
#    devices:
#      - name: meter-1
#        unit: 1
#        profile: meter/schneider-pm5560   # a file of firmware_profiles/, without .yaml
#  - name: self
#    driver: agent             # how this gateway is, as points like any other

# For Prometheus: GET /metrics and /health. No password: leave it on loopback.
#metrics:
#  listen: 127.0.0.1:9464

# What watches the points, with or without a line to the cloud.
detectors:
#  - name: plant-watch
#    detector: pca
#    points: ["bacnet:1001:analog-input:*"]
"""

CLOUD = """\
# Where the cloud's broker is. Without this section the agent reads and buffers, and sends nothing.
#cloud:
#  host: broker.example.com   # as it stands in the broker's certificate
#  port: 8883
#  ca: certs/ca.pem           # who signed the broker's certificate
#  cert: certs/gateway.pem    # this gateway's certificate ...
#  key: certs/gateway.key     # ... and its private key
#  mqtt: auto                 # auto, 5 or 3.1.1
"""


def cloud_section(where: str, certificates: Path) -> str:
    """Return the section for a broker at ``host[:port]``, with the files of a folder."""
    host, _, port = where.partition(":")
    return (
        f"cloud:\n  host: {host}   # as it stands in the broker's certificate\n"
        f"  port: {port or 8883}\n"
        f"  ca: {certificates / 'ca.pem'}\n"
        f"  cert: {certificates / 'gateway.pem'}\n"
        f"  key: {certificates / 'gateway.key'}\n"
    )
