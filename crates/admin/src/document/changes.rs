//! Which fields an update changes, as the API shows them: nothing that it does not show is among them.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;
use tollgate_store::{StoreError, Stored};
use utoipa::ToSchema;

use crate::edit::Replaced;

/// Nobody reads more, and a document may change a million keys.
const MOST_TOLD: usize = 1_000;
/// What a view has of itself.
const OF_THE_VIEW: [&str; 4] = ["id", "version", "created_at", "updated_at"];

/// An entry that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changed {
    /// Such as `plans[0]`.
    pub entry: String,
    /// Its slug, name, client id or username.
    pub name: String,
    /// As the API shows them, such as `limits[0].requests`; the list alone where it is longer or shorter than it was.
    pub fields: Vec<String>,
}

/// The first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes(Vec<Changed>);

impl Changes {
    /// Notes what has become of an entry, which is read again where it was changed. `unseen` is a field that changed as well, and
    /// that no view has.
    pub(super) async fn note<T, V>(
        &mut self,
        replaced: Option<Replaced>,
        (entry, name): (&str, &impl Display),
        before: &Stored<T>,
        after: impl Future<Output = Result<Option<Stored<T>>, StoreError>>,
        unseen: Option<&str>,
    ) -> Result<(), StoreError>
    where
        V: for<'s> From<&'s Stored<T>> + Serialize,
    {
        if replaced != Some(Replaced::Changed) || self.0.len() >= MOST_TOLD {
            return Ok(());
        }
        let Some(after) = after.await? else { return Ok(()) };
        // A view always serialises.
        let [before, after] =
            [before, &after].map(|stored| serde_json::to_value(V::from(stored)).unwrap_or_default());
        let mut fields: Vec<String> = unseen.into_iter().map(str::to_owned).collect();
        differences("", &before, &after, &mut fields);
        self.0.push(Changed { entry: entry.to_owned(), name: name.to_string(), fields });
        Ok(())
    }
}

fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names.into_iter().filter(|name| !is_of_the_view(path, name)) {
            let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let [before, after] = [before, after].map(|fields| fields.get(name).unwrap_or(&Value::Null));
            differences(&field, before, after, found);
        }
        return;
    }
    match (before.as_array(), after.as_array()) {
        (Some(before), Some(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differences(&format!("{path}[{index}]"), before, after, found);
            }
        }
        (Some(_) | None, Some(_) | None) => found.push(path.to_owned()),
    }
}

/// A route may ask for a query parameter of that name; a target's id goes with its URL.
fn is_of_the_view(path: &str, name: &str) -> bool {
    (path.is_empty() && OF_THE_VIEW.contains(&name)) || (path.starts_with("targets[") && name == "id")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(before: &Value, after: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences("", before, after, &mut found);
        found
    }

    #[test]
    fn fields_are_named_as_far_down_as_they_differ() {
        let before = json!({ "id": 1, "version": 1, "name": "a", "limits": [{ "requests": 5, "per": "day" }],
            "targets": [{ "id": "x", "url": "http://a" }], "query": { "id": true }, "retries": null, "methods": ["GET"] });
        let after = json!({ "id": 2, "version": 2, "name": "a", "limits": [{ "requests": 6, "per": "day" }],
            "targets": [{ "id": "y", "url": "http://b" }], "query": { "id": false }, "retries": { "most": 1 },
            "methods": ["GET", "PUT"] });
        let fields = ["limits[0].requests", "methods", "query.id", "retries", "targets[0].url"];
        assert_eq!(changed(&before, &after), fields);
        assert!(changed(&before, &before).is_empty());
    }
}
