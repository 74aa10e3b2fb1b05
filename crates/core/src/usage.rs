//! How much a key was used.

/// Of one key, since it was last looked at or since it is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Seconds since the epoch.
    pub last_used_secs: u64,
    /// Requests that the key identified, those that were refused among them.
    pub requests: u64,
    /// Requests that the gateway refused for what the key may do, or for its limits.
    pub rejections: u64,
}

impl KeyUsage {
    pub fn add(&mut self, other: &Self) {
        self.last_used_secs = self.last_used_secs.max(other.last_used_secs);
        self.requests = self.requests.saturating_add(other.requests);
        self.rejections = self.rejections.saturating_add(other.rejections);
    }
}
