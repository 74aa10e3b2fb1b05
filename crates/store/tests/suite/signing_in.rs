use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{Role, UserId, Username};
use tollgate_store::{NodeTokenRecord, SealedKey, Store, StoreError, Unique, UserRecord};
use uuid::Uuid;

use super::*;

fn user(username: &str, role: Role) -> UserRecord {
    UserRecord {
        id: UserId(Uuid::now_v7()),
        username: Username::parse(username).unwrap(),
        role,
        tenant: None,
        password_hash: "$argon2id$".into(),
    }
}

pub async fn sessions_end_when_they_should(store: &Store) {
    let tenant = add_tenant(store, "acme").await;
    let ann = user("ann", Role::TenantUser(tenant.id));
    let root = user("root", Role::PlatformAdministrator);
    let tokens = [b"a", b"b", b"c"].map(|token| KeyHash::of(token));
    let [short, long, administrators] = &tokens;
    let mut write = writing(store).await;
    write.insert_user(&ann).await.unwrap();
    write.insert_user(&root).await.unwrap();
    let again = write.insert_user(&user("ann", Role::PlatformAdministrator)).await;
    assert!(matches!(again, Err(StoreError::Taken(Unique::Username))));
    write.insert_session(short, ann.id, NOW + 10).await.unwrap();
    write.insert_session(long, ann.id, NOW + 100).await.unwrap();
    write.insert_session(administrators, root.id, NOW + 100).await.unwrap();
    let session = write.session(short, NOW + 9).await.unwrap().unwrap();
    assert_eq!(session.user.role, ann.role);
    assert_eq!(session.user.tenant, Some(tenant.slug.clone()));
    assert!(write.session(short, NOW + 10).await.unwrap().is_none());

    assert_eq!(write.users(Some(tenant.id), FIRST).await.unwrap().items.len(), 1);
    assert_eq!(write.users(None, FIRST).await.unwrap().items.len(), 2);

    let changed = UserRecord { password_hash: "$argon2id$new".into(), ..ann.clone() };
    write.update_user(&changed).await.unwrap();
    assert!(write.session(long, NOW).await.unwrap().is_none(), "the password changed");
    write.insert_session(long, ann.id, NOW + 100).await.unwrap();
    write.delete_session(long).await.unwrap();
    assert!(write.session(long, NOW).await.unwrap().is_none(), "signed out");
    write.delete_user(root.id).await.unwrap();
    assert!(write.session(administrators, NOW).await.unwrap().is_none(), "the user is gone");
    write.delete_tenant(tenant.id).await.unwrap();
    assert!(write.user(&ann.username).await.unwrap().is_none(), "the tenant is gone");
}

pub async fn signing_keys_come_and_go(store: &Store) {
    let key = |key_id: &str, signs_from_secs| SealedKey {
        key_id: key_id.into(),
        sealed_seed: vec![7; 60],
        signs_from_secs,
    };
    let mut write = writing(store).await;
    for key in [key("later", NOW + 9), key("now", NOW)] {
        write.insert_signing_key(&key).await.unwrap();
    }
    assert_eq!(write.signing_keys().await.unwrap(), [key("now", NOW), key("later", NOW + 9)]);
    write.delete_signing_key("now").await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().signing_keys().await.unwrap(), [key("later", NOW + 9)]);
}

pub async fn node_tokens_are_listed_until_they_are_revoked(store: &Store) {
    let token = |name: &str| NodeTokenRecord {
        id: Uuid::now_v7(),
        name: DisplayName::parse(name).unwrap(),
        hash: KeyHash::of(name.as_bytes()),
        prefix: "tgn_abcd".into(),
        created_at_secs: NOW,
    };
    let (first, second) = (token("edge-1"), token("edge-2"));
    let mut write = writing(store).await;
    write.insert_node_token(&first).await.unwrap();
    write.insert_node_token(&second).await.unwrap();
    let namesake = NodeTokenRecord { id: Uuid::now_v7(), hash: KeyHash::of(b"other"), ..first.clone() };
    let refused = write.insert_node_token(&namesake).await;
    assert!(matches!(refused, Err(StoreError::Taken(Unique::NodeTokenName))), "{refused:?}");
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(read.node_tokens(FIRST).await.unwrap().items, [first.clone(), second.clone()]);
    let mut write = writing(store).await;
    assert!(write.delete_node_token(first.id).await.unwrap());
    assert!(!write.delete_node_token(first.id).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().all_node_tokens().await.unwrap(), [second]);
}

pub async fn every_revision_has_an_epoch_of_its_own(store: &Store) {
    let first = store.read().await.unwrap().position().await.unwrap();
    let mut write = writing(store).await;
    let second = write.set_revision(first.revision + 1).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().position().await.unwrap(), second);
    // As after a copy of the database was put back, and went another way.
    let mut write = writing(store).await;
    let other = write.set_revision(first.revision + 1).await.unwrap();
    assert!(first.epoch != second.epoch && second.epoch != other.epoch);
}
