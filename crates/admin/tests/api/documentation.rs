use std::collections::BTreeSet;

use serde_json::Value;

use crate::gateway::Gateway;

#[test]
fn every_operation_is_documented_with_its_answers() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/api/auth/login",
        "/api/auth/logout",
        "/api/auth/me",
        "/api/auth/token",
        "/api/auth/validate",
        "/api/circuit-breakers",
        "/api/circuit-breakers/{id}/reset",
        "/api/config",
        "/api/config/validate",
        "/api/consumers",
        "/api/consumers/{client_id}",
        "/api/events",
        "/api/health/check-all",
        "/api/health/services",
        "/api/keys",
        "/api/keys/{id}",
        "/api/keys/{id}/rotate",
        "/api/node-tokens",
        "/api/node-tokens/{id}",
        "/api/node/feed",
        "/api/node/status",
        "/api/nodes",
        "/api/plans",
        "/api/plans/{slug}",
        "/api/routes",
        "/api/routes/{id}",
        "/api/services",
        "/api/services/{id}",
        "/api/services/{id}/health-check",
        "/api/tenants",
        "/api/tenants/{slug}",
        "/api/users",
        "/api/users/{username}",
        "/api/webhooks",
        "/api/webhooks/{id}",
        "/api/webhooks/{id}/deliveries",
        "/api/webhooks/{id}/test",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            let is_guarded = operation["security"]
                .as_array()
                .is_none_or(|security| security[0] != Value::Object(serde_json::Map::new()));
            assert_eq!(
                is_guarded,
                !path.starts_with("/health")
                    && !["/api/auth/login", "/api/auth/token", "/api/auth/validate", "/metrics"]
                        .contains(&path.as_str()),
                "{method} {path}"
            );
            let is_for_administrators =
                ["/api/tenants", "/api/users"].iter().any(|kind| path.starts_with(kind));
            if is_for_administrators && method != "get" {
                assert!(responses.contains_key("403"), "{method} {path}");
            }
            if is_guarded {
                let problem = &responses["401"]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/ProblemDetails", "{method} {path}");
            }
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    let mut pending = vec![&document];
    let mut references = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    references += 1;
                }
                pending.extend(fields.values());
            }
            Value::Array(items) => pending.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(references > 50);
}

#[test]
fn every_documented_operation_is_served() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            let status = gateway.anyone().send(&method.to_uppercase(), &path, &[], None).status;
            assert!(![404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
}

#[test]
fn swagger_ui_comes_from_the_binary_alone() {
    let gateway = Gateway::start();
    let redirect = gateway.anyone().get("/docs");
    assert_eq!((redirect.status, redirect.header("location")), (303, "/docs/"));
    let page = gateway.anyone().get("/docs/");
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("swagger-ui") && !page.text.contains("http://") && !page.text.contains("https://")
    );
    let script = gateway.anyone().get("/docs/swagger-initializer.js");
    assert!(script.text.contains("/api/openapi.json"), "{}", script.text);
    assert_eq!(gateway.anyone().get("/docs/swagger-ui-bundle.js").status, 200);
}

#[test]
fn health_needs_no_token() {
    let gateway = Gateway::start();
    for path in ["/health", "/health/live", "/health/ready"] {
        let health = gateway.anyone().get(path).expect(200);
        assert_eq!(
            (&health["status"], health["revision"].as_u64()),
            (&serde_json::json!("ok"), Some(gateway.revision()))
        );
    }
}

/// What Swagger UI fills in before anybody has written anything.
#[test]
fn the_examples_are_accepted_as_they_stand() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    let kinds =
        ["tenants", "plans", "services", "consumers", "keys", "users", "routes", "webhooks", "node-tokens"];
    for kind in kinds {
        let path = format!("/api/{kind}");
        let operation = &document["paths"][&path]["post"];
        gateway
            .admin()
            .post(&format!("{path}{}", query_of(operation)), &example_of(&document, operation))
            .expect(201);
    }
    let operation = &document["paths"]["/api/config"]["post"];
    gateway.admin().post("/api/config", &example_of(&document, operation)).expect(200);
    let operation = &document["paths"]["/api/auth/login"]["post"];
    gateway.anyone().post("/api/auth/login", &example_of(&document, operation)).expect(200);
}

fn example_of(document: &Value, operation: &Value) -> Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = document.pointer(schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
    schema["examples"][0].clone()
}

/// With the values that the parameters have as examples.
fn query_of(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let filled = parameters.filter_map(|parameter| {
        let (name, example) = (parameter["name"].as_str()?, parameter["example"].as_str()?);
        (parameter["in"] == "query").then(|| format!("{name}={example}"))
    });
    let filled: Vec<_> = filled.collect();
    if filled.is_empty() { String::new() } else { format!("?{}", filled.join("&")) }
}

#[test]
fn the_words_and_bounds_of_fields_are_documented() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    let schemas = &document["components"]["schemas"];
    let field = |schema: &str, field: &str| schemas[schema]["properties"][field].to_string();
    for (schema, name, stated) in [
        (
            "LimitDraft",
            "algorithm",
            r#""enum":["token_bucket","fixed_window","sliding_window","sliding_log"]"#,
        ),
        ("LimitDraft", "requests", r#""maximum":1000000000000"#),
        ("PlanDraft", "counting", r#""enum":["leased","exact","local"]"#),
        ("KeyDraft", "environment", r#""enum":["live","test"]"#),
        ("WebhookDraft", "events", r#""enum":["limit.threshold","webhook.test"]"#),
        ("TenantDraft", "slug", r#""pattern":"^[a-z0-9]"#),
        ("BreakerDraft", "recovery", r#""pattern":"^[0-9]+(ms|s|m|h|d)$""#),
        ("BreakerDraft", "recovery", "How long it stays open"),
        ("UserDraft", "password", r#""minLength":8"#),
        // Entries of documents are drafts, and more.
        ("Entry_TenantName_PlanDraft", "tenant", "Slug of the tenant"),
        ("Entry_TenantName_PlanDraft", "slug", r#""pattern":"^[a-z0-9]"#),
    ] {
        assert!(field(schema, name).contains(stated), "{schema}.{name}: {}", field(schema, name));
    }
}

#[test]
fn answers_that_are_easily_forgotten_are_documented() {
    let gateway = Gateway::start();
    let document = gateway.anyone().get("/api/openapi.json").expect(200);
    for (path, operations) in document["paths"].as_object().unwrap() {
        // A query parameter that is not known is refused everywhere but where nodes and probes ask.
        let is_checked = path.starts_with("/api/") && !path.starts_with("/api/node/");
        for (method, operation) in operations.as_object().unwrap().iter().filter(|_| is_checked) {
            assert!(operation["responses"]["422"].is_object(), "{method} {path}");
        }
    }
    for path in ["/api/circuit-breakers/{id}/reset", "/api/services/{id}/health-check"] {
        assert!(document["paths"][path]["post"]["responses"]["422"].is_object(), "{path}");
    }
    for path in ["/api/auth/logout", "/api/webhooks/{id}/test"] {
        assert!(document["paths"][path]["post"]["responses"]["507"].is_object(), "{path}");
    }
    for path in ["/api/auth/login", "/api/auth/validate", "/api/auth/token"] {
        for status in ["400", "408", "413", "415", "422"] {
            assert!(document["paths"][path]["post"]["responses"][status].is_object(), "{path} {status}");
        }
    }
}
