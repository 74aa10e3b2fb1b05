//! The one place where tests make tenants, services, plans, consumers and keys, through the admin API.

use serde_json::{Value, json};

use super::admin::{Admin, Answer};

/// A tenant that was created. Its methods chain, up to the key.
#[derive(Clone)]
pub struct Tenant {
    admin: Admin,
    pub slug: String,
}

impl Tenant {
    #[track_caller]
    pub fn create(admin: Admin, slug: &str) -> Self {
        admin.post("/api/tenants", &json!({ "slug": slug, "name": slug })).expect(201);
        Self { admin, slug: slug.to_owned() }
    }

    /// A service with one target.
    #[track_caller]
    pub fn service(&self, slug: &str, url: &str) -> &Self {
        self.service_with(&json!({ "slug": slug, "name": slug, "url": url }))
    }

    #[track_caller]
    pub fn service_with(&self, service: &Value) -> &Self {
        self.post("services", service).expect(201);
        self
    }

    /// A plan with limits of so many requests per window.
    #[track_caller]
    pub fn plan(&self, slug: &str, limits: &[(u64, &str)]) -> &Self {
        let limits: Vec<Value> =
            limits.iter().map(|(requests, per)| json!({ "requests": requests, "per": per })).collect();
        self.plan_with(&json!({ "slug": slug, "name": slug, "limits": limits }))
    }

    #[track_caller]
    pub fn plan_with(&self, plan: &Value) -> &Self {
        self.post("plans", plan).expect(201);
        self
    }

    #[track_caller]
    pub fn consumer(&self, client_id: &str, plan: &str) -> &Self {
        self.post("consumers", &json!({ "client_id": client_id, "name": client_id, "plan": plan }))
            .expect(201);
        self
    }

    /// A key on the plan: the key itself, as its user sends it.
    #[track_caller]
    pub fn key(&self, plan: &str) -> String {
        let created = self.key_with(&json!({ "name": "key", "plan": plan }));
        created["key"].as_str().expect("the key is shown once").to_owned()
    }

    /// A key without a plan, and so without limits.
    #[track_caller]
    pub fn unlimited_key(&self) -> String {
        let created = self.key_with(&json!({ "name": "key" }));
        created["key"].as_str().expect("the key is shown once").to_owned()
    }

    /// What the admin API answers: `id`, `key` and more.
    #[track_caller]
    pub fn key_with(&self, key: &Value) -> Value {
        self.post("keys", key).expect(201)
    }

    /// Creates something of this tenant's: `services`, `plans`, `consumers`, `keys`.
    #[track_caller]
    pub fn post(&self, collection: &str, body: &Value) -> Answer {
        self.admin.post(&self.path(collection), body)
    }

    /// A user of this tenant, signed in.
    #[track_caller]
    pub fn user(&self, username: &str) -> Admin {
        let user = json!({ "username": username, "password": "a long password", "tenant": self.slug });
        self.admin.post("/api/users", &user).expect(201);
        let login = json!({ "username": username, "password": "a long password" });
        let session = self.admin.post("/api/auth/login", &login).expect(200);
        self.admin.with_token(session["token"].as_str().expect("a token"))
    }

    /// The same tenant as somebody else calls it, at a gateway that was started again, say.
    pub fn at(&self, admin: Admin) -> Self {
        Self { admin, ..self.clone() }
    }

    /// The path of something of this tenant's, for other calls.
    pub fn path(&self, of: &str) -> String {
        format!("/api/{of}?tenant={}", self.slug)
    }
}
