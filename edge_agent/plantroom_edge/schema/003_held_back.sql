-- Rows accepted before the gateway's clock was ever set: not sent before their times are put right.
-- Findings and the audit wait like samples; this takes the place of `waiting`, which is left empty.
CREATE TABLE held_back (
    epoch INTEGER NOT NULL,
    stream TEXT NOT NULL,
    machine TEXT NOT NULL,   -- which start of the machine: its monotonic clock ties them together
    rows TEXT NOT NULL,      -- JSON list of inclusive ranges
    crc INTEGER NOT NULL,
    PRIMARY KEY (epoch, stream)
) WITHOUT ROWID;
