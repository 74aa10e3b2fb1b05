-- JSON object of how requests are spread over targets and what becomes of those that fail, as it is written through the API.
ALTER TABLE services ADD COLUMN traffic TEXT NOT NULL DEFAULT '{}';

-- 1: takes no new requests.
ALTER TABLE targets ADD COLUMN draining INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1));
