-- Confirmed rows stay for a while: a cloud restored from a backup asks for them again.
-- `done` in `position` now means confirmed; those of its rows that are still in `frame` are named here.
CREATE TABLE retained (
    epoch INTEGER NOT NULL,
    stream TEXT NOT NULL,
    hour INTEGER NOT NULL,   -- hours since 1970 in which they were confirmed
    rows TEXT NOT NULL,      -- JSON list of inclusive ranges
    crc INTEGER NOT NULL,
    PRIMARY KEY (epoch, stream, hour)
) WITHOUT ROWID;

-- Rows accepted before the gateway's clock was ever set: not sent before their times are put right.
CREATE TABLE held_back (
    epoch INTEGER NOT NULL,
    stream TEXT NOT NULL,
    machine TEXT NOT NULL,   -- which start of the machine: its monotonic clock ties them together
    rows TEXT NOT NULL,      -- JSON list of inclusive ranges
    crc INTEGER NOT NULL,
    PRIMARY KEY (epoch, stream)
) WITHOUT ROWID;
