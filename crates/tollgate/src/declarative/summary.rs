//! What applying a document did, for people.

use serde_json::Value;

use super::DryRun;

const SECTIONS: [&str; 7] = ["tenants", "plans", "services", "routes", "consumers", "keys", "users"];

/// A line for each section that the document has: `plans: 2 created, 1 unchanged`.
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
        }
    }
    match dry_run {
        DryRun::Yes => text.push_str("Nothing was changed: this was a dry run.\n"),
        DryRun::No if text.is_empty() => text.push_str("The file names nothing.\n"),
        DryRun::No => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_is_told_by_section() {
        let applied = json!({"revision": 7,
            "plans": {"created": 2, "updated": 0, "unchanged": 1}, "keys": {"created": 0, "updated": 1}});
        assert_eq!(summary(&applied, DryRun::No), "plans: 2 created, 1 unchanged\nkeys: 1 updated\n");
    }
}
