-- Ids are UUIDs (version 7, so that their order is the order of creation) in 16 bytes; instants are seconds
-- since the epoch; hashes are SHA-256. Credentials are nowhere in clear.

CREATE TABLE platform (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    -- Counts the changes to what the proxy runs. A snapshot of revision 0 was never loaded, so the first is 1.
    revision          INTEGER NOT NULL,
    -- Random, and made anew with every revision: tells apart two histories that have come to the same number.
    epoch             BLOB NOT NULL CHECK (length(epoch) = 16),
    -- The generated token of the platform's administrator.
    admin_token_hash  BLOB CHECK (length(admin_token_hash) = 32)
) STRICT;

INSERT INTO platform (id, revision, epoch) VALUES (1, 1, randomblob(16));

CREATE TABLE tenants (
    id          BLOB NOT NULL PRIMARY KEY,
    slug        TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    -- IANA name.
    time_zone   TEXT NOT NULL,
    -- JSON list of limits as they are written through the API.
    limits      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id             BLOB NOT NULL PRIMARY KEY,
    username       TEXT NOT NULL UNIQUE,
    -- NULL: a platform administrator.
    tenant_id      BLOB REFERENCES tenants (id) ON DELETE CASCADE,
    -- Argon2id, in PHC string format.
    password_hash  TEXT NOT NULL,
    version        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX users_of_tenant ON users (tenant_id, id);

CREATE TABLE sessions (
    token_hash  BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id     BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_user ON sessions (user_id);

-- What nodes present to the control plane that feeds them.
CREATE TABLE node_tokens (
    id          BLOB NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    token_hash  BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    -- The first characters of the token, for people to tell tokens apart.
    prefix      TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each run of a node has been heard: what it says of keys' uses has a number, which is written with the uses, so
-- that what is said again is not counted again, whatever ended in between.
CREATE TABLE node_reports (
    token_id  BLOB NOT NULL REFERENCES node_tokens (id) ON DELETE CASCADE,
    -- Of the node's process.
    session   BLOB NOT NULL,
    number    INTEGER NOT NULL,
    taken_at  INTEGER NOT NULL,
    PRIMARY KEY (token_id, session)
) STRICT, WITHOUT ROWID;

-- The last changes as nodes are sent them, for those that were away while the control plane was started again. Sealed
-- with the secret that is not in the database: keys that sign tokens are among them.
CREATE TABLE feed_log (
    -- The one that the changes lead to, from the one before.
    revision      INTEGER NOT NULL PRIMARY KEY,
    -- Of the revision before.
    before_epoch  BLOB NOT NULL CHECK (length(before_epoch) = 16),
    -- Of what is sealed: another version of Tollgate may write another.
    format        INTEGER NOT NULL,
    sealed        BLOB NOT NULL
) STRICT;

CREATE TABLE plans (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug        TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- JSON list of limits as they are written through the API.
    limits      TEXT NOT NULL,
    -- Most requests at once.
    concurrency INTEGER CHECK (concurrency BETWEEN 1 AND 4294967295),
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (tenant_id, slug)
) STRICT, WITHOUT ROWID;

CREATE INDEX plans_of_tenant ON plans (tenant_id, id);

CREATE TABLE services (
    id              BLOB NOT NULL PRIMARY KEY,
    tenant_id       BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug            TEXT NOT NULL,
    name            TEXT NOT NULL,
    auth_header     TEXT NOT NULL,
    -- JSON object of timeouts as they are written through the API.
    timeouts        TEXT NOT NULL,
    max_body_bytes  INTEGER,
    -- JSON list of issuers as they are written through the API, each beside how far its keys may be fetched from.
    jwt             TEXT NOT NULL,
    -- JSON object of limits, rules and costs as they are written through the API.
    limits          TEXT NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (tenant_id, slug)
) STRICT, WITHOUT ROWID;

CREATE INDEX services_of_tenant ON services (tenant_id, id);

CREATE TABLE targets (
    service_id  BLOB NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    id          BLOB NOT NULL,
    url         TEXT NOT NULL,
    weight      INTEGER NOT NULL,
    reach       TEXT NOT NULL CHECK (reach IN ('public', 'private')),
    PRIMARY KEY (service_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE consumers (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    client_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    plan_id     BLOB REFERENCES plans (id),
    subscribed_at INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (tenant_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX consumers_of_tenant ON consumers (tenant_id, id);
CREATE INDEX consumers_on_plan ON consumers (plan_id);

CREATE TABLE keys (
    id           BLOB NOT NULL PRIMARY KEY,
    tenant_id    BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    prefix       TEXT NOT NULL,
    plan_id      BLOB REFERENCES plans (id),
    consumer_id  BLOB REFERENCES consumers (id),
    -- 1: the key opens only what key_services names.
    restricted   INTEGER NOT NULL CHECK (restricted IN (0, 1)),
    -- JSON of the routes and networks that the key is restricted to; NULL where it is not.
    scope        TEXT,
    -- JSON list of limits as they are written through the API; NULL where there is none.
    limits       TEXT,
    expires_at   INTEGER,
    subscribed_at INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_of_tenant ON keys (tenant_id, id);
CREATE INDEX keys_by_name ON keys (tenant_id, name);
CREATE INDEX keys_on_plan ON keys (plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX keys_of_consumer ON keys (consumer_id) WHERE consumer_id IS NOT NULL;

CREATE TABLE key_services (
    key_id      BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    service_id  BLOB NOT NULL REFERENCES services (id),
    PRIMARY KEY (key_id, service_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_naming_service ON key_services (service_id);

-- Former values of rotated keys, valid until their grace has run out.
CREATE TABLE retired_hashes (
    hash         BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    key_id       BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    valid_until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX retired_hashes_of_key ON retired_hashes (key_id);

-- Apart from the keys, because it changes all the time and no version counts it.
CREATE TABLE key_use (
    key_id        BLOB NOT NULL PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
    last_used_at  INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    rejections    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys that sign tokens (Ed25519). Their private halves are sealed with a secret that is not in the database.
CREATE TABLE signing_keys (
    key_id       TEXT NOT NULL PRIMARY KEY,
    sealed_seed  BLOB NOT NULL,
    signs_from   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What limits have counted, in batches as they were saved: of a window that is in several, the newest counts. A save
-- is one row, however many windows it has. The store's source says how a batch is packed.
CREATE TABLE counter_batches (
    id       INTEGER NOT NULL PRIMARY KEY,
    records  BLOB NOT NULL
) STRICT;
