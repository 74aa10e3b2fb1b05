//! The passwords of a document, hashed before its edit begins: nobody else's should wait for it.

use std::collections::HashMap;

use tollgate_core::resource::Username;

use super::Document;
use crate::control_plane::ControlPlane;
use crate::edit::EditError;
use crate::principal::Principal;

/// By the place of each user in the document. A user whose password is the same already keeps the hash that it has.
pub type Hashes = HashMap<usize, String>;

/// Nothing for whoever may not write users, nor for entries that do not parse.
pub async fn hash(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
) -> Result<Hashes, EditError> {
    let mut hashes = Hashes::new();
    if principal.tenant().is_some() {
        return Ok(hashes);
    }
    for (index, draft) in document.users.iter().enumerate() {
        if let Ok(spec) = draft.parse() {
            hashes.insert(index, hash_one(plane, &spec.username, &draft.password).await?);
        }
    }
    Ok(hashes)
}

async fn hash_one(plane: &ControlPlane, username: &Username, password: &str) -> Result<String, EditError> {
    let passwords = &plane.0.passwords;
    let held = plane.0.store.read().await?.user(username).await?.map(|stored| stored.value.password_hash);
    if let Some(held) = held
        && passwords.is_held(password.to_owned(), held.clone()).await?
    {
        return Ok(held);
    }
    Ok(passwords.hash(None, password.to_owned()).await?)
}
