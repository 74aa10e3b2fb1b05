-- How a plan's limits are counted where nodes share a counter store, and what happens while it is away.

ALTER TABLE plans ADD COLUMN counting TEXT NOT NULL DEFAULT 'leased'
    CHECK (counting IN ('leased', 'exact', 'local'));
ALTER TABLE plans ADD COLUMN on_unavailable TEXT NOT NULL DEFAULT 'local'
    CHECK (on_unavailable IN ('local', 'allow', 'deny'));
