//! Random numbers: ids of DNS queries, and pauses that differ from instance to instance.

use ring::rand::{SecureRandom, SystemRandom};

/// Any number. Should the system have none to give, the address of a local differs from process to process.
pub(crate) fn number() -> u32 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => (&raw const bytes).addr() as u32,
    }
}
