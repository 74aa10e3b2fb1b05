//! Answers as tables for people.

use serde_json::Value;

/// A list's page as a table of the named fields; says how to get at the next page.
pub fn page(body: &Value, columns: &[&str]) -> String {
    let items = body["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return "none\n".to_owned();
    }
    let header = columns.iter().map(|column| column.to_ascii_uppercase().replace('_', " ")).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| cell(&item[*column])).collect());
    let mut text = aligned(&std::iter::once(header).chain(rows).collect::<Vec<Vec<String>>>());
    if let Some(cursor) = body["next_cursor"].as_str() {
        text.push_str("\nThere are more: add --cursor ");
        text.push_str(cursor);
        text.push('\n');
    }
    text
}

/// One resource, a line for each field: the named ones first, then the others.
pub fn record(body: &Value, columns: &[&str]) -> String {
    let Some(fields) = body.as_object() else { return String::new() };
    let first = columns.iter().filter_map(|column| fields.get_key_value(*column));
    let others = fields.iter().filter(|(name, _)| !columns.contains(&name.as_str()));
    let rows: Vec<Vec<String>> = first
        .chain(others)
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| vec![name.replace('_', " "), cell(value)])
        .collect();
    aligned(&rows)
}

/// Targets and limits look as they are written on the command line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            if let Some(url) = value["url"].as_str() {
                let weight = value["weight"].as_u64().filter(|weight| *weight != 1);
                weight.map_or_else(|| url.to_owned(), |weight| format!("{url}={weight}"))
            } else if let (Some(requests), Some(per)) = (value["requests"].as_u64(), value["per"].as_str()) {
                let burst = value["burst"].as_u64().filter(|burst| *burst != requests);
                let burst = burst.map(|burst| format!(":burst={burst}")).unwrap_or_default();
                // What a limit has where nothing is written goes without saying.
                let usual = if ["day", "month"].contains(&per) { "fixed_window" } else { "token_bucket" };
                let option = |name: &str, usual: &str| {
                    let value = value[name].as_str().filter(|value| *value != usual);
                    value.map(|value| format!(":{name}={value}")).unwrap_or_default()
                };
                let (algorithm, anchor) = (option("algorithm", usual), option("anchor", "calendar"));
                let thresholds = value["thresholds"].as_array().filter(|percents| !percents.is_empty());
                let thresholds = thresholds.map(|percents| {
                    let percents: Vec<String> = percents.iter().map(cell).collect();
                    format!(":thresholds={}", percents.join("+"))
                });
                let (thresholds, overage) = (thresholds.unwrap_or_default(), option("overage", "deny"));
                format!("{requests}/{per}{burst}{algorithm}{anchor}{thresholds}{overage}")
            } else {
                let field = |(name, value): (&String, &Value)| format!("{name}={}", cell(value));
                let shown = fields.iter().filter(|(_, value)| !value.is_null()).map(field);
                shown.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_a_table_that_says_whether_there_is_more() {
        let body = json!({"items": [
            {"slug": "acme", "name": "Acme Corp"}, {"slug": "b", "name": null}], "next_cursor": "abc"});
        let expected = "SLUG  NAME\nacme  Acme Corp\nb     -\n\nThere are more: add --cursor abc\n";
        assert_eq!(page(&body, &["slug", "name"]), expected);
    }

    #[test]
    fn limits_and_targets_look_as_they_are_written() {
        let body = json!({"slug": "p",
            "limits": [
                {"requests": 5, "per": "minute", "burst": 5, "algorithm": "token_bucket"},
                {"requests": 1000, "per": "hour", "burst": 9, "algorithm": "token_bucket"},
                {"requests": 7, "per": "10s", "algorithm": "fixed_window"},
                {"requests": 8, "per": "2h", "algorithm": "sliding_log"},
                {"requests": 9, "per": "day", "algorithm": "fixed_window", "anchor": "subscription"},
                {"requests": 100, "per": "month", "algorithm": "fixed_window", "anchor": "calendar",
                 "thresholds": [80, 100], "overage": "allow"}],
            "targets": [{"url": "http://a"}, {"url": "http://b", "weight": 3}]});
        let expected = "slug     p\nlimits   5/minute, 1000/hour:burst=9, 7/10s:algorithm=fixed_window, \
                        8/2h:algorithm=sliding_log, 9/day:anchor=subscription, 100/month:thresholds=80+100:overage=allow\n\
                        targets  http://a, http://b=3\n";
        assert_eq!(record(&body, &["slug"]), expected);
    }
}
