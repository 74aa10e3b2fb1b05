-- How far each run of a node has been heard, whichever token it presents: what it has said under one token it may say again
-- under the next. So a run outlasts its token too.
CREATE TABLE node_sessions (
    -- Of the node's process; random.
    session   BLOB NOT NULL PRIMARY KEY,
    -- Presented last; it may be gone.
    token_id  BLOB NOT NULL,
    number    INTEGER NOT NULL,
    taken_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Beside the greatest number stands the rest of its row.
INSERT INTO node_sessions (session, token_id, number, taken_at)
SELECT session, token_id, max(number), taken_at FROM node_reports GROUP BY session;

DROP TABLE node_reports;
