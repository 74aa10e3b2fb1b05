//! The keys that sign tokens: made, published, and dropped as their time comes.

use std::time::Duration;

use tollgate_core::resource::SigningKey;
use tollgate_core::snapshot::{Change, Snapshot};
use tollgate_core::token::{Rotation, SigningPeriod};
use tollgate_store::{SealedKey, Store, StoreError};
use uuid::Uuid;

use super::{Edit, EditError};
use crate::clock;
use crate::control_plane::Inner;
use crate::sealing::{NotOpened, Sealed, SealingSecret};
use crate::token::random_bits;

/// The keys of the database that the secret opens. One that it does not open is as good as lost: its tokens are
/// refused, and the next rotation drops it.
pub async fn sealed_keys(store: &Store, sealing: &SealingSecret) -> Result<Vec<Change>, StoreError> {
    let open = |key: SealedKey| match open_seed(sealing, &key) {
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

fn open_seed(sealing: &SealingSecret, key: &SealedKey) -> Result<[u8; 32], NotOpened> {
    let seed = sealing.open(Sealed::SigningKey, &key.key_id, &key.sealed_seed)?;
    seed.try_into().map_err(|_| NotOpened)
}

/// What is due by the snapshot, without waiting for anybody's edit.
pub fn rotation_due(plane: &Inner) -> Rotation {
    due(&plane.snapshot.load(), plane.rotate_signing_keys_every)
}

fn due(snapshot: &Snapshot, every: Duration) -> Rotation {
    let keys = snapshot.signing_keys().iter();
    let periods: Vec<SigningPeriod> =
        keys.map(|key| SigningPeriod { signs_from_secs: key.signs_from_secs }).collect();
    Rotation::due(&periods, every, clock::now_secs())
}

impl Edit {
    /// Does what is due.
    pub async fn rotate_signing_keys(&mut self) -> Result<(), EditError> {
        let keys = self.snapshot().signing_keys().to_vec();
        let due = due(self.snapshot(), self.plane.rotate_signing_keys_every);
        let removed: Vec<&str> = due.remove.iter().map(|&index| &*keys[index].key_id).collect();
        let mut changes = Vec::new();
        for SealedKey { key_id, .. } in self.read().signing_keys().await? {
            // Nodes may know one that is lost here.
            let is_lost = !keys.iter().any(|key| key.key_id == key_id);
            if is_lost || removed.contains(&&*key_id) {
                self.write.delete_signing_key(&key_id).await?;
                changes.push(Change::DeleteSigningKey(key_id));
            }
        }
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
