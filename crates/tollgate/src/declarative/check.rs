//! What can be known of a document without a server: every entry by itself, and names that are given twice. What
//! an entry refers to may be on the server already.

use std::collections::HashSet;

use tollgate_admin::Document;
use tollgate_admin::document::KeyMaterial;
use tollgate_core::Problems;
use tollgate_core::credential::{ApiKey, KeyHash};

pub fn check(document: &Document) -> Result<(), Problems> {
    let mut section = Section { problems: Problems::default(), name: "tenants", seen: HashSet::new() };
    for (index, draft) in document.tenants.iter().enumerate() {
        section.check(index, draft.parse());
        section.check_name(index, "slug", None, &draft.slug);
    }
    section.begin("plans");
    for (index, entry) in document.plans.iter().enumerate() {
        section.check(index, entry.draft.parse());
        section.check_name(index, "slug", entry.beside.tenant.as_deref(), &entry.draft.slug);
    }
    section.begin("services");
    for (index, entry) in document.services.iter().enumerate() {
        section.check(index, entry.draft.parse());
        section.check_name(index, "slug", entry.beside.tenant.as_deref(), &entry.draft.slug);
    }
    section.begin("consumers");
    for (index, entry) in document.consumers.iter().enumerate() {
        section.check(index, entry.draft.parse());
        section.check_name(index, "client_id", entry.beside.tenant.as_deref(), &entry.draft.client_id);
    }
    section.begin("keys");
    for (index, entry) in document.keys.iter().enumerate() {
        section.check(index, entry.draft.parse());
        section.check(index, key_value(&entry.beside));
        section.check_name(index, "name", entry.beside.tenant.as_deref(), &entry.draft.name);
    }
    section.begin("users");
    for (index, draft) in document.users.iter().enumerate() {
        section.check(index, draft.parse());
        section.check_name(index, "username", None, &draft.username);
    }
    section.problems.finish(Some(()))
}

struct Section<'d> {
    problems: Problems,
    name: &'static str,
    /// Names of this section, each within its tenant.
    seen: HashSet<(Option<&'d str>, &'d str)>,
}

impl<'d> Section<'d> {
    fn begin(&mut self, name: &'static str) {
        self.name = name;
        self.seen.clear();
    }

    fn check<T>(&mut self, index: usize, outcome: Result<T, Problems>) {
        if let Err(problems) = outcome {
            self.problems.nest(&format!("{}[{index}]", self.name), problems);
        }
    }

    fn check_name(&mut self, index: usize, field: &str, tenant: Option<&'d str>, name: &'d str) {
        if !self.seen.insert((tenant, name)) {
            self.problems
                .add(format!("{}[{index}].{field}", self.name), "is that of an earlier entry already");
        }
    }
}

fn key_value(given: &KeyMaterial) -> Result<(), Problems> {
    let mut problems = Problems::default();
    match (&given.key, &given.key_hash) {
        (Some(key), None) => drop(problems.check("key", ApiKey::import(key))),
        (None, Some(hash)) => drop(problems.check("key_hash", KeyHash::from_hex(hash))),
        (Some(_), Some(_)) | (None, None) => problems.add("key", "give either `key` or `key_hash`"),
    }
    problems.finish(Some(()))
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn every_problem_is_named_with_its_entry() {
        let document: Document = yaml(
            "tenants: [{slug: acme}, {slug: acme}]\n\
             plans:\n\
             - {tenant: acme, slug: basic, limits: [{requests: 0, per: minute}]}\n\
             - {tenant: other, slug: basic}\n\
             services: [{tenant: acme, slug: Api, url: 'ftp://host'}]\n\
             keys: [{tenant: acme, name: ci}, {tenant: acme, name: short, key: x}]\n\
             users: [{username: ann, password: short}]\n",
        )
        .unwrap();
        let problems = check(&document).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "tenants[1].slug",
                "plans[0].limits[0].requests",
                "services[0].slug",
                "services[0].url",
                "keys[0].key",
                "keys[1].key",
                "users[0].password"
            ]
        );
    }
}
