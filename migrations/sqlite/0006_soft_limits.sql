-- Where tenants want their events sent.
CREATE TABLE webhooks (
    id             BLOB NOT NULL PRIMARY KEY,
    tenant_id      BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    url            TEXT NOT NULL,
    reach          TEXT NOT NULL CHECK (reach IN ('public', 'private')),
    -- JSON list of the types of events that it is sent; all where empty.
    events         TEXT NOT NULL,
    -- What deliveries are signed with, sealed with a secret that is not in the database.
    sealed_secret  BLOB NOT NULL,
    version        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_of_tenant ON webhooks (tenant_id, id);

CREATE TABLE events (
    id           BLOB NOT NULL PRIMARY KEY,
    tenant_id    BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    type         TEXT NOT NULL,
    occurred_at  INTEGER NOT NULL,
    -- JSON, as it is told.
    data         TEXT NOT NULL,
    -- What makes it one: however many nodes report it, and however often, it is one row.
    identity     TEXT NOT NULL,
    UNIQUE (tenant_id, identity)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_of_tenant ON events (tenant_id, id);
CREATE INDEX events_by_time ON events (occurred_at);

-- What is to be sent, and what became of it. Written together with the event.
CREATE TABLE webhook_deliveries (
    id               BLOB NOT NULL PRIMARY KEY,
    webhook_id       BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id         BLOB NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts         INTEGER NOT NULL,
    -- While it is pending.
    next_attempt_at  INTEGER NOT NULL,
    -- Of the last attempt.
    attempted_at     INTEGER,
    status           INTEGER,
    error            TEXT,
    created_at       INTEGER NOT NULL,
    UNIQUE (webhook_id, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_of_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX deliveries_of_event ON webhook_deliveries (event_id);
CREATE INDEX deliveries_pending ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
