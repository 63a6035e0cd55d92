-- The buffer: what was accepted and is not yet confirmed. One writer, one process.
-- Every row that matters carries a CRC-32, so that a flipped bit on a worn card is found, not sent.

-- One row per start of the agent, in the order of starts.
CREATE TABLE epoch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ep TEXT NOT NULL UNIQUE,
    boot INTEGER NOT NULL,
    crc INTEGER NOT NULL
);

-- How far each stream of an epoch got. Rows 1..accepted were accepted; those in `done` (a JSON list
-- of inclusive ranges) are confirmed and deleted; all others must be in `frame`.
CREATE TABLE position (
    epoch INTEGER NOT NULL,
    stream TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    done TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (epoch, stream)
) WITHOUT ROWID;

-- Ready-made wire messages. The blob stands last, so that reading a header never touches its
-- overflow pages.
CREATE TABLE frame (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch INTEGER NOT NULL,
    stream TEXT NOT NULL,
    s0 INTEGER NOT NULL,
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,      -- data, gap
    cause TEXT NOT NULL,     -- of a gap: quota, corrupt
    dv INTEGER NOT NULL,     -- aliases a reader must know
    accepted_us INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    blob BLOB NOT NULL
);
CREATE INDEX frame_order ON frame (stream, epoch, s0, n, kind);

-- The dictionary of each epoch that still has frames: alias i is the i-th point, for ever.
CREATE TABLE point (
    epoch INTEGER NOT NULL,
    alias INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    doc BLOB NOT NULL,
    PRIMARY KEY (epoch, alias)
) WITHOUT ROWID;
CREATE TABLE device (
    epoch INTEGER NOT NULL,
    key TEXT NOT NULL,
    crc INTEGER NOT NULL,
    doc BLOB NOT NULL,
    PRIMARY KEY (epoch, key)
) WITHOUT ROWID;

-- Lifetime counts, which outlive epochs.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
