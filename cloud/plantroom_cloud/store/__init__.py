"""The sample store: partitions, roll-ups, retention and export behind one small port."""
