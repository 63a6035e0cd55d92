"""Devices that stream by themselves: plain JSON and Sparkplug B, into the same store.

::

    dev1/{device}/up/data      ─▶ messages  ─┐
    spBv1.0/{group}/…/{device} ─▶ sparkplug ─┴▶ readings ─▶ batch: points, samples, account

A streaming device is a gateway that speaks for itself: one certificate, one account, its points
below it. Everything behind the store works for it as for any other gateway.
"""

from plantroom_cloud.streaming.route import FILTERS, Streamed, is_ours, qos, read

__all__ = ["FILTERS", "Streamed", "is_ours", "qos", "read"]
