-- What has ended is looked for every minute, while other edits wait.
CREATE INDEX retired_hashes_by_end ON retired_hashes (valid_until);
CREATE INDEX sessions_by_end ON sessions (expires_at);
