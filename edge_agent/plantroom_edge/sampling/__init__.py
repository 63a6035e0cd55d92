"""What becomes of a poll before it is a sample: units, counters, report by exception, derived points.

Pure cores: none of these modules reads a bus, a clock of its own or a file (`keeping` alone keeps
the counters on the disk). ``docs/sampling.md`` is the guide, decision 020 the reasons.
"""
