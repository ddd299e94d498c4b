-- The journal's tables as schema version 1 made them (user_version); what came later stands in schema_2.sql and so on,
-- and a new journal is made by running all of them. Append-only: no statement of posd's changes a record or a message,
-- and none deletes one that has no verified copy in a segment of the archive. One sequence runs over both tables;
-- "link" is the keyed chain (chain.py).

CREATE TABLE journal (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    journal_id    BLOB    NOT NULL,
    base_sequence INTEGER NOT NULL,  -- the sequence before the first row here: 0, or the end of an archive (D33)
    base_link     BLOB    NOT NULL,
    key_check     BLOB    NOT NULL
) STRICT;

CREATE TABLE record (
    sequence   INTEGER PRIMARY KEY,
    tid        TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,     -- wall time, milliseconds since 1970 UTC
    payload    TEXT    NOT NULL,     -- canonical JSON
    request_id TEXT,
    stan       INTEGER,
    rrn        TEXT,
    batch      INTEGER,
    key_id     TEXT,                 -- data key, nonce and ciphertext of the secret; AAD is TID|sequence (D29)
    nonce      BLOB,
    sealed     BLOB,
    link       BLOB    NOT NULL
) STRICT;

CREATE TABLE message (
    sequence   INTEGER PRIMARY KEY,
    tid        TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    direction  TEXT    NOT NULL,
    peer       TEXT    NOT NULL,
    mti        TEXT    NOT NULL,
    fields     TEXT    NOT NULL,     -- masked JSON
    digest     BLOB    NOT NULL,     -- keyed digest of the exact bytes
    request_id TEXT,
    stan       INTEGER,
    rrn        TEXT,
    batch      INTEGER,
    key_id     TEXT,
    nonce      BLOB,
    sealed     BLOB,
    link       BLOB    NOT NULL
) STRICT;

CREATE TABLE snapshot (              -- disposable (D33)
    tid          TEXT PRIMARY KEY,
    sequence     INTEGER NOT NULL,
    fold_version INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    mac          BLOB    NOT NULL
) STRICT;

CREATE INDEX record_tid      ON record (tid);
CREATE INDEX record_request  ON record (request_id)  WHERE request_id IS NOT NULL;
CREATE INDEX record_stan     ON record (stan)        WHERE stan IS NOT NULL;
CREATE INDEX record_rrn      ON record (rrn)         WHERE rrn IS NOT NULL;
CREATE INDEX record_batch    ON record (tid, batch)  WHERE batch IS NOT NULL;
CREATE INDEX message_request ON message (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX message_stan    ON message (stan)       WHERE stan IS NOT NULL;
CREATE INDEX message_rrn     ON message (rrn)        WHERE rrn IS NOT NULL;
CREATE INDEX message_batch   ON message (tid, batch) WHERE batch IS NOT NULL;
