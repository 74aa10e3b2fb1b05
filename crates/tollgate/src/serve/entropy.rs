//! What the cryptography behind TLS and sealed secrets draws its random numbers from.

use rustls::crypto::aws_lc_rs;
use tokio::task::spawn_blocking;

/// Draws a first number in the background. AWS-LC gathers entropy from the processor's jitter for it, which occupies a
/// core for 25 to 100 ms: the first handshake of a worker, or the first edit, would keep everybody there waiting.
pub fn gather() {
    spawn_blocking(|| {
        // Whoever needs a number asks again, and says where there is none.
        drop(aws_lc_rs::default_provider().secure_random.fill(&mut [0]));
    });
}
