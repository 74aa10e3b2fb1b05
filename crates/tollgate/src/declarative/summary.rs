//! What applying a document did, for people.

use serde_json::Value;

use super::DryRun;

const SECTIONS: [&str; 7] = ["tenants", "plans", "services", "routes", "consumers", "keys", "users"];

/// A line for each section that the document has: `plans: 2 created, 1 unchanged`; below it, one for each entry that is
/// updated: `plans[0] basic: limits[0].requests`.
pub fn summary(applied: &Value, dry_run: DryRun) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let counts: Vec<String> = ["created", "updated", "unchanged"]
            .into_iter()
            .filter_map(|outcome| {
                let count = applied[section][outcome].as_u64().filter(|count| *count > 0)?;
                Some(format!("{count} {outcome}"))
            })
            .collect();
        if !counts.is_empty() {
            text.extend([section, ": ", &counts.join(", "), "\n"]);
            text.extend(changes(applied, section));
        }
    }
    match dry_run {
        DryRun::Yes => text.push_str("Nothing was changed: this was a dry run.\n"),
        DryRun::No if text.is_empty() => text.push_str("The file names nothing.\n"),
        DryRun::No => {}
    }
    text
}

fn changes(applied: &Value, section: &str) -> impl Iterator<Item = String> {
    let all = applied["changes"].as_array().into_iter().flatten();
    let entries = all.filter_map(|changed| Some((changed["entry"].as_str()?, changed)));
    let of_section =
        entries.filter(move |(entry, _)| entry.split('[').next().is_some_and(|name| name == section));
    of_section.map(|(entry, changed)| {
        let fields = changed["fields"].as_array().into_iter().flatten();
        let fields: Vec<&str> = fields.filter_map(Value::as_str).collect();
        let fields = if fields.is_empty() { "nothing that is shown".to_owned() } else { fields.join(", ") };
        format!("  {entry} {}: {fields}\n", changed["name"].as_str().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_is_told_by_section() {
        let applied = json!({"revision": 7,
            "plans": {"created": 2, "updated": 0, "unchanged": 1}, "keys": {"created": 0, "updated": 2},
            "changes": [{"entry": "keys[1]", "name": "old", "fields": ["key", "limits[0].requests"]},
                        {"entry": "keys[2]", "name": "new", "fields": []}]});
        assert_eq!(
            summary(&applied, DryRun::No),
            "plans: 2 created, 1 unchanged\nkeys: 2 updated\n  keys[1] old: key, limits[0].requests\n  \
             keys[2] new: nothing that is shown\n"
        );
    }
}
