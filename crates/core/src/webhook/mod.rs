//! How events are told to a webhook: signed as Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), and again and again
//! until the receiver has taken them.

mod retry;
mod secret;

pub use retry::{MOST_ATTEMPTS, delay_after};
pub use secret::{BadWebhookSecret, WebhookSecret};
