//! The keys that sign tokens: made, published, and dropped as their time comes.

use tollgate_core::resource::SigningKey;
use tollgate_core::snapshot::Change;
use tollgate_core::token::{Rotation, SigningPeriod};
use tollgate_store::{SealedKey, Store, StoreError};
use uuid::Uuid;

use super::{Edit, EditError};
use crate::clock;
use crate::sealing::{NotOpened, Sealed, SealingSecret};
use crate::token::random_bits;

/// The keys of the database that the secret opens. One that it does not open is as good as lost: its tokens are
/// refused, and the next rotation drops it.
pub async fn sealed_keys(store: &Store, sealing: &SealingSecret) -> Result<Vec<Change>, StoreError> {
    let opened = |key: &SealedKey| {
        let seed = sealing.open(Sealed::SigningKey, &key.key_id, &key.sealed_seed)?;
        <[u8; 32]>::try_from(seed).map_err(|_| NotOpened)
    };
    let open = |key: SealedKey| match opened(&key) {
        Ok(seed) => {
            let SealedKey { key_id, signs_from_secs, .. } = key;
            Some(Change::PutSigningKey(SigningKey { key_id, seed, signs_from_secs }))
        }
        Err(error) => {
            let key_id = key.key_id;
            tracing::error!(%key_id, %error, "a signing key is lost: its tokens are refused");
            None
        }
    };
    let sealed = store.read().await?.signing_keys().await?;
    Ok(sealed.into_iter().filter_map(open).collect())
}

impl Edit {
    /// Does what is due.
    pub async fn rotate_signing_keys(&mut self) -> Result<(), EditError> {
        let keys = self.snapshot().signing_keys().to_vec();
        let periods: Vec<SigningPeriod> =
            keys.iter().map(|key| SigningPeriod { signs_from_secs: key.signs_from_secs }).collect();
        let due = Rotation::due(&periods, self.plane.rotate_signing_keys_every, clock::now_secs());
        let removed: Vec<&str> = due.remove.iter().map(|&index| &*keys[index].key_id).collect();
        for held in self.read().signing_keys().await? {
            let is_known = keys.iter().any(|key| key.key_id == held.key_id);
            if removed.contains(&&*held.key_id) || !is_known {
                self.write.delete_signing_key(&held.key_id).await?;
            }
        }
        let mut changes: Vec<Change> =
            removed.into_iter().map(|key_id| Change::DeleteSigningKey(key_id.into())).collect();
        if let Some(signs_from_secs) = due.add_from_secs {
            let key_id: Box<str> = Uuid::now_v7().to_string().into();
            let seed = random_bits()?;
            let sealed_seed = self.plane.sealing.seal(Sealed::SigningKey, &key_id, &seed)?;
            let sealed = SealedKey { key_id: key_id.clone(), sealed_seed, signs_from_secs };
            self.write.insert_signing_key(&sealed).await?;
            changes.push(Change::PutSigningKey(SigningKey { key_id, seed, signs_from_secs }));
        }
        self.put(&changes)
    }
}
