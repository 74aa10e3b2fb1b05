use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{Role, UserId, Username};
use tollgate_store::{SealedKey, Store, StoreError, Unique, UserRecord};
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
