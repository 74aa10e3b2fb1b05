//! Issuers whose tokens a service takes beside keys.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use super::forms;
use super::{DurationText, KeySetUrl, PlanSlug, Scheme};
use crate::address::Reach;
use crate::problem::Problems;
use crate::token::Algorithm;

const MOST_ISSUERS: usize = 8;
const LONGEST_TEXT: usize = 255;
const MOST_PLANS: usize = 256;
/// More than there are: one that is named twice is no harm.
const MOST_ALGORITHMS: usize = 64;
const USUAL_LEEWAY: Duration = Duration::from_mins(1);
const LONGEST_LEEWAY: Duration = Duration::from_mins(10);
const USUAL_CONSUMER_CLAIM: &str = "sub";

/// An issuer, and how far its keys may be fetched from: fixed when it is written, by who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtIssuer {
    pub spec: JwtIssuerSpec,
    pub reach: Reach,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtIssuerSpec {
    /// Claim `iss`, letter for letter.
    pub issuer: Box<str>,
    /// One of the claim `aud`.
    pub audience: Box<str>,
    /// Where its public keys are (RFC 7517 section 5).
    pub jwks_url: KeySetUrl,
    /// Whatever its keys are for, where `None`; never HMAC.
    pub algorithms: Option<Vec<Algorithm>>,
    /// How far the issuer's clock may be off; whole seconds.
    pub leeway: Duration,
    /// Names the consumer.
    pub consumer_claim: Box<str>,
    /// Names the plan, by its slug or through `plan_map`; the consumer's plan applies where the claim is absent.
    pub plan_claim: Option<Box<str>>,
    pub plan_map: Option<BTreeMap<String, PlanSlug>>,
}

/// An issuer as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JwtIssuerDraft {
    /// Claim `iss` of its tokens, letter for letter.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
    pub issuer: String,
    /// What has to be in the claim `aud`.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
    pub audience: String,
    /// Where its public keys are; `https://`, unless a platform administrator writes it.
    pub jwks_url: String,
    /// Of `EdDSA`, `ES256`, `ES384`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`; all that its keys are for
    /// where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<forms::SignatureWord>>, inline, min_items = 1, max_items = 64))]
    pub algorithms: Option<Vec<String>>,
    /// How far its clock may be off: `"0s"` to `"10m"`; `"1m"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub leeway: Option<DurationText>,
    /// The claim that names the consumer by its client id; `sub` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_claim: Option<String>,
    /// The claim that names the plan; the consumer's own where it is left out, or absent in a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_claim: Option<String>,
    /// Slugs of plans by the claim's value; the value is the slug where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_map: Option<BTreeMap<String, String>>,
}

/// All issuers of a service, with the paths of their fields below `jwt`.
pub(super) fn parse_issuers(drafts: &[JwtIssuerDraft], problems: &mut Problems) -> Vec<JwtIssuerSpec> {
    let drafts = problems.check_length("jwt", drafts, 0..=MOST_ISSUERS);
    let mut issuers = Vec::with_capacity(drafts.len());
    let mut names = HashSet::new();
    for (index, draft) in drafts.iter().enumerate() {
        let field = format!("jwt[{index}]");
        if !names.insert(draft.issuer.as_str()) {
            problems.add(format!("{field}.issuer"), "is that of an earlier entry");
        }
        issuers.extend(problems.check_nested(&field, draft.parse()));
    }
    issuers
}

impl JwtIssuerDraft {
    /// As it could be written today: an earlier build kept however many algorithms were named, each as often as it was.
    #[must_use]
    pub fn within_bounds(mut self) -> Self {
        if let Some(names) = &mut self.algorithms {
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
        }
        self
    }

    pub fn parse(&self) -> Result<JwtIssuerSpec, Problems> {
        let mut problems = Problems::default();
        let issuer = problems.check("issuer", visible(&self.issuer));
        let audience = problems.check("audience", visible(&self.audience));
        let jwks_url = problems.check("jwks_url", KeySetUrl::parse(&self.jwks_url));
        let algorithms = self.algorithms.as_ref().map(|names| {
            if names.is_empty() {
                problems.add("algorithms", "must name at least one, or be left out");
            }
            let mut algorithms = Vec::new();
            let names = problems.check_length("algorithms", names, 0..=MOST_ALGORITHMS);
            for (index, name) in names.iter().enumerate() {
                let field = format!("algorithms[{index}]");
                let parsed = problems.check(&field, Algorithm::parse_asymmetric(name));
                algorithms.extend(parsed.filter(|algorithm| !algorithms.contains(algorithm)));
            }
            algorithms
        });
        let leeway = self.leeway.map_or(USUAL_LEEWAY, |DurationText(leeway)| leeway);
        if leeway > LONGEST_LEEWAY || leeway.subsec_nanos() != 0 {
            problems.add("leeway", "must be whole seconds from 0s to 10m");
        }
        let consumer_claim = self.consumer_claim.as_deref().unwrap_or(USUAL_CONSUMER_CLAIM);
        let consumer_claim = problems.check("consumer_claim", visible(consumer_claim));
        let plan_claim =
            self.plan_claim.as_deref().and_then(|claim| problems.check("plan_claim", visible(claim)));
        let plan_map = self.plan_map.as_ref().map(|map| self.parse_plan_map(map, &mut problems));
        let spec = issuer.zip(audience).zip(jwks_url).zip(consumer_claim).map(
            |(((issuer, audience), jwks_url), consumer_claim)| JwtIssuerSpec {
                issuer,
                audience,
                jwks_url,
                algorithms,
                leeway,
                consumer_claim,
                plan_claim,
                plan_map,
            },
        );
        problems.finish(spec)
    }

    fn parse_plan_map(
        &self,
        map: &BTreeMap<String, String>,
        problems: &mut Problems,
    ) -> BTreeMap<String, PlanSlug> {
        if self.plan_claim.is_none() {
            problems.add("plan_map", "needs `plan_claim`, whose values it maps");
        }
        problems.check_count("plan_map", map.len(), 1..=MOST_PLANS);
        let parsed = map.iter().take(MOST_PLANS).filter_map(|(value, slug)| {
            let slug = problems.check(&format!("plan_map.{value}"), PlanSlug::parse(slug))?;
            Some((value.clone(), slug))
        });
        parsed.collect()
    }
}

impl JwtIssuerSpec {
    /// Keys that came in clear could be anybody's: only a platform administrator may trust the way.
    pub fn is_fetched_in_clear(&self) -> bool {
        self.jwks_url.place().scheme() == Scheme::Http
    }
}

impl From<&JwtIssuerSpec> for JwtIssuerDraft {
    fn from(spec: &JwtIssuerSpec) -> Self {
        Self {
            issuer: spec.issuer.to_string(),
            audience: spec.audience.to_string(),
            jwks_url: spec.jwks_url.to_string(),
            algorithms: spec
                .algorithms
                .as_ref()
                .map(|algorithms| algorithms.iter().map(ToString::to_string).collect()),
            leeway: Some(DurationText(spec.leeway)),
            consumer_claim: Some(spec.consumer_claim.to_string()),
            plan_claim: spec.plan_claim.as_deref().map(str::to_owned),
            plan_map: spec
                .plan_map
                .as_ref()
                .map(|map| map.iter().map(|(value, slug)| (value.clone(), slug.to_string())).collect()),
        }
    }
}

fn visible(text: &str) -> Result<Box<str>, String> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=LONGEST_TEXT).contains(&text.len()) && is_visible {
        Ok(text.into())
    } else {
        Err(format!("must be 1 to {LONGEST_TEXT} visible ASCII characters without spaces"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: serde_json::Value) -> Vec<String> {
        let drafts: Vec<JwtIssuerDraft> = serde_json::from_value(json).unwrap();
        let mut problems = Problems::default();
        parse_issuers(&drafts, &mut problems);
        problems.into_vec().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn what_is_left_out_has_its_usual_value_and_is_shown() {
        let json = r#"{"issuer":"https://id.example","audience":"api","jwks_url":"https://id.example/keys"}"#;
        let draft: JwtIssuerDraft = serde_json::from_str(json).unwrap();
        let spec = draft.parse().unwrap();
        assert_eq!((&*spec.consumer_claim, spec.leeway), ("sub", Duration::from_mins(1)));
        assert!(!spec.is_fetched_in_clear());
        assert_eq!(JwtIssuerDraft::from(&spec).parse().unwrap(), spec);
    }

    #[test]
    fn algorithms_are_kept_once_each_and_no_more_are_looked_at_than_there_may_be() {
        let draft = |algorithms: Vec<String>| JwtIssuerDraft {
            algorithms: Some(algorithms),
            ..serde_json::from_str(r#"{"issuer":"i","audience":"a","jwks_url":"https://i.example/keys"}"#)
                .unwrap()
        };
        let twice = draft(["EdDSA", "ES256", "EdDSA"].map(str::to_owned).to_vec()).parse().unwrap();
        assert_eq!(twice.algorithms.unwrap(), [Algorithm::EdDsa, Algorithm::Es256]);
        let good = draft(vec!["EdDSA".into(); 100_000]);
        let problems = good.parse().unwrap_err();
        assert_eq!((&*problems.iter().next().unwrap().field, problems.iter().count()), ("algorithms", 1));
        assert_eq!(good.within_bounds().parse().unwrap().algorithms.unwrap(), [Algorithm::EdDsa]);
        let problems = draft(vec!["HS256".into(); 100_000]).parse().unwrap_err();
        assert_eq!(problems.iter().count(), 1 + MOST_ALGORITHMS);
    }

    #[test]
    fn every_problem_names_its_field() {
        let wrong = serde_json::json!([
            { "issuer": "i", "audience": "a", "jwks_url": "https://host/keys" },
            { "issuer": "i", "audience": "", "jwks_url": "keys", "algorithms": ["HS256", "none", "ES256"],
              "leeway": "11m", "consumer_claim": "a b", "plan_map": { "gold": "No Plan" } },
            { "issuer": "j", "audience": "a", "jwks_url": "https://169.254.169.254/keys", "algorithms": [],
              "plan_claim": "plan", "plan_map": {} },
        ]);
        assert_eq!(
            fields(wrong),
            [
                "jwt[1].issuer",
                "jwt[1].audience",
                "jwt[1].jwks_url",
                "jwt[1].algorithms[0]",
                "jwt[1].algorithms[1]",
                "jwt[1].leeway",
                "jwt[1].consumer_claim",
                "jwt[1].plan_map",
                "jwt[1].plan_map.gold",
                "jwt[2].jwks_url",
                "jwt[2].algorithms",
                "jwt[2].plan_map",
            ]
        );
    }
}
