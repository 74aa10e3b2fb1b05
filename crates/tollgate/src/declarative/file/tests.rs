use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    plans: Vec<Plan>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    slug: String,
    #[expect(dead_code, reason = "only parsing is looked at")]
    requests: u64,
}

#[test]
fn a_field_of_the_wrong_type_has_its_path_and_line() {
    let yaml = yaml::<Shape>("plans:\n- slug: a\n  requests: many\n").unwrap_err();
    let toml = toml::<Shape>("[[plans]]\nslug = \"a\"\nrequests = \"many\"\n").unwrap_err();
    let json = json::<Shape>("{\"plans\": [{\n\"slug\": \"a\",\n\"requests\": \"many\"}]}").unwrap_err();
    for problem in [yaml, toml, json] {
        assert_eq!((problem.line, problem.field.as_str()), (Some(3), "plans[0].requests"), "{problem}");
        assert!(!problem.message.contains("line"), "{problem}");
    }
}

#[test]
fn who_writes_yaml_is_told_nothing_of_rust() {
    for (text, expected) in [
        ("tenants:\n- {slug: a, slug: b}\n", "duplicate mapping key: slug"),
        ("tenants: []\n---\nplans: []\n", "must be one document: there is another behind the first"),
        ("tenants:\n- {slug: ~}\n", "must be text, not null"),
        ("tenants:\n- {slug: [a]}\n", "must be text"),
        ("tenants: {}\n", "must be a list"),
        ("tenants:\n- 5\n", "must be an object"),
        ("services:\n- {slug: a, targets: [{url: http://a, drain: maybe}]}\n", "must be true or false"),
        ("services:\n- {slug: a, targets: [{url: http://a, weight: x}]}\n", "must be a whole number"),
    ] {
        let problem = yaml::<tollgate_admin::Document>(text).unwrap_err();
        assert_eq!(problem.message, expected, "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_whatever_the_format() {
    let yaml = "tenants:\n- {slug: C 1, foo: 1}\nplans:\n- {slug: a, limits: [{requests: x, per: never}]}\nkeys:\n- {nme: x}\n";
    let toml = "plans = [{slug = 'a', limits = [{requests = 'x', per = 'never'}]}]\nkeys = [{nme = 'x'}]\n[[tenants]]\nslug = 'C 1'\nfoo = 1\n";
    let json = r#"{"tenants": [{"slug": "C 1", "foo": 1}], "keys": [{"nme": "x"}],
        "plans": [{"slug": "a", "limits": [{"requests": "x", "per": "never"}]}]}"#;
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a.yaml", yaml), ("a.toml", toml), ("a.json", json)] {
        let file = directory.path().join(name);
        fs::write(&file, text).unwrap();
        let error = read::<tollgate_admin::Document>(&file).unwrap_err();
        let misshapen = error.downcast_ref::<Misshapen>().unwrap().to_json();
        let errors = misshapen["errors"].as_array().unwrap().iter();
        let fields: std::collections::BTreeSet<_> =
            errors.map(|error| error["field"].as_str().unwrap()).collect();
        let wanted = [
            "keys[0].key",
            "keys[0].name",
            "keys[0].nme",
            "plans[0].limits[0].per",
            "plans[0].limits[0].requests",
            "tenants[0].foo",
            "tenants[0].slug",
        ];
        assert_eq!(fields, wanted.into(), "{name}: {misshapen}");
    }
}

#[test]
fn an_array_stands_for_no_object() {
    let document = "plans = [['a', 'A', []]]\n";
    let problem = toml::<tollgate_admin::Document>(document).unwrap_err();
    assert_eq!(problem.field, "plans[0]");
    assert!(json::<tollgate_admin::Document>(r#"{"users": [["ann", "correct horse", "acme"]]}"#).is_err());
}

#[test]
fn a_syntax_error_has_its_line() {
    let yaml = yaml::<Shape>("plans:\n- slug: [a\n").unwrap_err();
    let toml = toml::<Shape>("[[plans]]\nslug = \n").unwrap_err();
    let json = json::<Shape>("{\n\"plans\": ]}").unwrap_err();
    for problem in [yaml, toml, json] {
        assert!(problem.line.is_some_and(|line| line >= 2), "{problem}");
    }
    let further = further::<tollgate_admin::Document>("plans:\n- slug: [a\n", Format::Yaml, "plans[0].slug");
    assert_eq!(further, []);
}

#[test]
fn a_time_of_toml_is_the_text_of_it() {
    let text = "[[keys]]\nname = \"k\"\nkey = \"12345678901234567890\"\nexpires_at = 2030-01-01T00:00:00Z\n";
    let document: tollgate_admin::Document = toml(text).unwrap();
    assert_eq!(document.keys[0].draft.expires_at.as_deref(), Some("2030-01-01T00:00:00Z"));
    assert_eq!(document.check(), Ok(()));
}

#[test]
fn no_path_ends_in_a_question_mark() {
    let problem = toml::<tollgate_admin::Document>("[[keys]]\nname = 5\n").unwrap_err();
    assert!(!problem.field.contains('?'), "{problem}");
    let problem = toml::<tollgate_admin::Document>("plans = [[\"a\"]]\n").unwrap_err();
    assert!(!problem.field.contains('?'), "{problem}");
    let problem = json::<tollgate_admin::Document>("{\"plans\": [5]}").unwrap_err();
    assert!(!problem.field.contains('?'), "{problem}");
}

#[test]
fn an_unknown_field_is_a_problem() {
    let problem = yaml::<Shape>("plans: []\ncolour: red\n").unwrap_err();
    assert_eq!(problem.line, Some(2));
    assert!(problem.message.contains("colour"), "{problem}");
}

#[test]
fn text_is_text_whatever_it_looks_like() {
    let shape: Shape = yaml("plans:\n- {slug: no, requests: 1}\n- {slug: 1e3, requests: 2}\n").unwrap();
    assert_eq!(shape.plans.iter().map(|plan| plan.slug.as_str()).collect::<Vec<_>>(), ["no", "1e3"]);
}

#[test]
fn a_file_may_hold_very_many_entries() {
    let mut text = "plans:\n".to_owned();
    text.extend((0..100_000).map(|number| format!("- {{slug: p{number}, requests: 1}}\n")));
    assert_eq!(yaml::<Shape>(&text).unwrap().plans.len(), 100_000);
}
