//! What a service limits by itself, compiled.

use std::net::IpAddr;
use std::num::NonZeroU32;

use smol_str::SmolStr;

use crate::limit::{Calendar, Demand, Level, LevelLimits, Subject, SubjectLimits};
use crate::resource::{self, FailedRequests, HeaderName, PathPattern, RuleName, ServiceId};

#[derive(Debug, Clone)]
pub struct ServiceLimits {
    service: ServiceId,
    /// Over all callers together.
    all: Option<Box<SubjectLimits>>,
    per_ip: Option<LevelLimits>,
    rules: Box<[Rule]>,
    /// Set where requests without a credential are let through.
    pub anonymous: Option<LevelLimits>,
    /// The response field that says what the request has cost.
    pub cost_header: Option<HeaderName>,
    pub failed: FailedRequests,
}

#[derive(Debug, Clone)]
pub struct Rule {
    name: RuleName,
    paths: Box<[PathPattern]>,
    methods: Box<[SmolStr]>,
    /// What a request takes of every limit that applies to it.
    pub cost: NonZeroU32,
    limits: Option<LevelLimits>,
}

impl ServiceLimits {
    /// `None` where the service limits nothing by itself.
    pub(super) fn compile(service: &resource::Service) -> Option<Box<Self>> {
        let limits = &service.limits;
        if *limits == resource::ServiceLimits::default() {
            return None;
        }
        let of_anonymous =
            |anonymous: &resource::Anonymous| LevelLimits::of(Level::Anonymous, &anonymous.limits);
        Some(Box::new(Self {
            service: service.id,
            all: SubjectLimits::compile(Subject::service(service.id), Level::Service, &limits.all),
            per_ip: LevelLimits::of(Level::Ip, &limits.per_ip).if_any(),
            rules: limits.rules.iter().map(Rule::compile).collect(),
            anonymous: limits.anonymous.as_ref().map(of_anonymous),
            cost_header: limits.cost_header.clone(),
            failed: limits.failed,
        }))
    }

    pub const fn service(&self) -> ServiceId {
        self.service
    }

    /// The rule for a request, whose path is as the service sees it.
    pub fn rule(&self, method: &[u8], path: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.is_for(method, path))
    }

    /// What these limits demand of a caller at this address, in the order in which clients are told.
    pub fn demands<'s>(
        &'s self,
        rule: Option<&'s Rule>,
        caller: Subject,
        address: IpAddr,
        calendar: Calendar<'s>,
    ) -> impl Iterator<Item = Demand<'s>> {
        let under_rule = rule.and_then(|rule| self.demand_of_rule(rule, caller, calendar));
        let of_ip = self.per_ip.as_ref().map(|limits| Demand {
            subject: Subject::ip(self.service, address),
            limits,
            calendar,
        });
        let of_all = self.all.as_deref().map(|limits| limits.demand(calendar));
        [under_rule, of_all, of_ip].into_iter().flatten()
    }

    /// What every rule demands of a caller, with the rule's name.
    pub fn demands_of_rules<'s>(
        &'s self,
        caller: Subject,
        calendar: Calendar<'s>,
    ) -> impl Iterator<Item = (&'s RuleName, Demand<'s>)> {
        let with_name =
            move |rule: &'s Rule| Some((&rule.name, self.demand_of_rule(rule, caller, calendar)?));
        self.rules.iter().filter_map(with_name)
    }

    fn demand_of_rule<'s>(
        &self,
        rule: &'s Rule,
        caller: Subject,
        calendar: Calendar<'s>,
    ) -> Option<Demand<'s>> {
        let limits = rule.limits.as_ref()?;
        Some(Demand { subject: Subject::under_rule(self.service, &rule.name, caller), limits, calendar })
    }
}

impl Rule {
    fn compile(rule: &resource::Rule) -> Self {
        Self {
            name: rule.name.clone(),
            paths: rule.paths.iter().cloned().collect(),
            methods: rule.methods.iter().cloned().collect(),
            cost: rule.cost,
            limits: LevelLimits::of_rule(&rule.name, &rule.limits).if_any(),
        }
    }

    fn is_for(&self, method: &[u8], path: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|own| own.as_bytes() == method))
            && (self.paths.is_empty() || self.paths.iter().any(|own| own.matches(path)))
    }
}
