//! A limit as a flag: `5/minute`, `1000/minute:burst=500`, `10000/month:thresholds=80+100:overage=allow`; an empty text for
//! none.

use serde_json::{Value, json};

pub fn limit(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::String(String::new()));
    }
    let mut parts = text.split(':');
    let (requests, per) =
        parts.next().and_then(|rate| rate.split_once('/')).ok_or("it is written 5/minute")?;
    let number =
        |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number of requests"));
    let mut limit = json!({ "requests": number(requests)?, "per": per });
    for part in parts {
        match part.split_once('=') {
            Some(("burst", burst)) => limit["burst"] = number(burst)?.into(),
            Some(("thresholds", percents)) => {
                let percents: Result<Vec<u64>, String> = percents.split('+').map(percent).collect();
                limit["thresholds"] = percents?.into();
            }
            Some((field @ ("algorithm" | "anchor" | "overage"), name)) => limit[field] = name.into(),
            Some(_) | None => {
                return Err(format!(
                    "{part:?} is none of burst=N, algorithm=NAME, anchor=NAME, thresholds=N+N, overage=NAME"
                ));
            }
        }
    }
    Ok(limit)
}

fn percent(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number of percent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_documented() {
        assert_eq!(limit(""), Ok(json!("")));
        assert_eq!(limit("5/minute"), Ok(json!({"requests": 5, "per": "minute"})));
        assert_eq!(
            limit("10/10s:burst=20:algorithm=token_bucket"),
            Ok(json!({"requests": 10, "per": "10s", "burst": 20, "algorithm": "token_bucket"}))
        );
        let anchored = json!({"requests": 9, "per": "month", "anchor": "subscription"});
        assert_eq!(limit("9/month:anchor=subscription"), Ok(anchored));
        let soft = json!({"requests": 9, "per": "day", "thresholds": [80, 100], "overage": "allow"});
        assert_eq!(limit("9/day:thresholds=80+100:overage=allow"), Ok(soft));
        for bad in ["5", "five/minute", "5/minute:20", "5/minute:burst=x", "5/day:thresholds=80,100"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
