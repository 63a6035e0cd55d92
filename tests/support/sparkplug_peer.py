"""pysparkplug, an independent implementation of Sparkplug B, on the paho that everything else uses."""

from __future__ import annotations

import paho.mqtt.client
import pysparkplug

# It is made for paho 1, where this call was there already and did nothing; in paho 2 it is gone. All
# else that pysparkplug uses is the same.
if not hasattr(paho.mqtt.client.Client, "message_retry_set"):
    paho.mqtt.client.Client.message_retry_set = lambda self, retry: None  # type: ignore[attr-defined] # see above

__all__ = ["pysparkplug"]
