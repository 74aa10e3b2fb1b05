//! A limit as a flag: `5/minute`, `1000/minute:burst=500`.

use serde_json::{Value, json};

pub fn limit(text: &str) -> Result<Value, String> {
    let mut parts = text.split(':');
    let (requests, per) =
        parts.next().and_then(|rate| rate.split_once('/')).ok_or("it is written 5/minute")?;
    let number =
        |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number of requests"));
    let mut limit = json!({ "requests": number(requests)?, "per": per });
    for part in parts {
        match part.split_once('=') {
            Some(("burst", burst)) => limit["burst"] = number(burst)?.into(),
            Some((field @ ("algorithm" | "anchor"), name)) => limit[field] = name.into(),
            Some(_) | None => {
                return Err(format!("{part:?} is none of burst=N, algorithm=NAME, anchor=NAME"));
            }
        }
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_documented() {
        assert_eq!(limit("5/minute"), Ok(json!({"requests": 5, "per": "minute"})));
        assert_eq!(
            limit("10/10s:burst=20:algorithm=token_bucket"),
            Ok(json!({"requests": 10, "per": "10s", "burst": 20, "algorithm": "token_bucket"}))
        );
        let anchored = json!({"requests": 9, "per": "month", "anchor": "subscription"});
        assert_eq!(limit("9/month:anchor=subscription"), Ok(anchored));
        for bad in ["5", "five/minute", "5/minute:20", "5/minute:burst=x", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
