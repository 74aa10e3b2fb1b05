CREATE TABLE routes (
    id          BLOB NOT NULL PRIMARY KEY,
    tenant_id   BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    -- What requests have in common that go to one of several services; NULL where each goes by itself.
    sticky      TEXT,
    -- JSON object of all else that a route says, as it is written through the API.
    rules       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX routes_of_tenant ON routes (tenant_id, id);

CREATE TABLE route_services (
    route_id    BLOB NOT NULL REFERENCES routes (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    service_id  BLOB NOT NULL REFERENCES services (id),
    weight      INTEGER NOT NULL,
    PRIMARY KEY (route_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX route_services_naming_service ON route_services (service_id);
