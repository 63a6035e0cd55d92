CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE command (
    id TEXT PRIMARY KEY,
    nonce TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    actor TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    at_us INTEGER NOT NULL,
    mono_us INTEGER NOT NULL,
    boot TEXT NOT NULL,
    places TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE INDEX command_state ON command (state);
CREATE INDEX command_expires ON command (expires_us);
CREATE TABLE hold (
    point TEXT NOT NULL,
    priority INTEGER NOT NULL,
    command TEXT NOT NULL,
    previous TEXT NOT NULL,
    before TEXT NOT NULL,
    restore TEXT NOT NULL,
    written TEXT NOT NULL,
    wall_us INTEGER NOT NULL,
    mono_us INTEGER NOT NULL,
    boot TEXT NOT NULL,
    length_us INTEGER NOT NULL,
    PRIMARY KEY (point, priority)
) WITHOUT ROWID;
CREATE TABLE event (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    doc TEXT NOT NULL
);
PRAGMA user_version = 1;
