-- What schema version 2 adds to version 1: the archive (D33). A row of "segment" is the authority for the rows that
-- its file holds: it is written in the commit that moves journal.base_sequence. Written once, never changed.

CREATE TABLE segment (
    first        INTEGER PRIMARY KEY,
    last         INTEGER NOT NULL,
    month        TEXT    NOT NULL UNIQUE,   -- YYYY-MM; the file is archive/YYYY-MM.segment
    base_link    BLOB    NOT NULL,          -- the link before its first row
    head_link    BLOB    NOT NULL,          -- the link of its last row
    records      INTEGER NOT NULL,
    messages     INTEGER NOT NULL,
    file_bytes   INTEGER NOT NULL,
    file_sum     BLOB    NOT NULL,          -- SHA-256 of the file
    requests_sum BLOB    NOT NULL,          -- SHA-256 of all its parts below, in their order
    terminals    TEXT    NOT NULL,          -- JSON: terminal -> the greatest of its own request ids, or ""
    mac          BLOB    NOT NULL           -- under the chain key
) STRICT;

CREATE TABLE archived_request (              -- which requests a segment speaks of, known also when it is elsewhere (D6)
    segment INTEGER NOT NULL,               -- its first row
    lowest  BLOB    NOT NULL,
    digests BLOB    NOT NULL,               -- sorted, 8 bytes each: the beginning of SHA-256 of the request id
    PRIMARY KEY (segment, lowest)
) STRICT;
