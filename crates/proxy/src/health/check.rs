//! One check of one target.

use std::time::{Duration, Instant};

use tollgate_core::cause::Cause;
use tollgate_core::health::CheckOutcome;
use tollgate_core::resource::{HealthCheck, TenantId};
use tollgate_core::snapshot::Target;

use crate::ask::{AskError, ask};
use crate::forward::DialError;
use crate::gateway::Gateway;

/// How long it took, and how it went.
pub(super) async fn check(
    gateway: &Gateway,
    target: &Target,
    check: &HealthCheck,
    tenant: TenantId,
) -> (Duration, CheckOutcome) {
    let began = Instant::now();
    let status = tokio::time::timeout(check.timeout, status(gateway, target, check, tenant)).await;
    let outcome = match status {
        Err(_) => CheckOutcome::Failed(format!("no answer within {} ms", check.timeout.as_millis()).into()),
        // Where a name leads in the operator's network is for nobody else to know.
        Ok(Err(AskError::Dial(DialError::Prohibited(_)))) => {
            CheckOutcome::Failed("its address is not one that the service may reach".into())
        }
        Ok(Err(error)) => CheckOutcome::Failed(error.to_string().into()),
        Ok(Ok(status)) if check.expected.contain(Cause::Status(status)) => CheckOutcome::Passed(status),
        Ok(Ok(status)) => CheckOutcome::Failed(format!("status {status}").into()),
    };
    (began.elapsed(), outcome)
}

async fn status(
    gateway: &Gateway,
    target: &Target,
    check: &HealthCheck,
    tenant: TenantId,
) -> Result<u16, AskError> {
    let request = format!(
        "GET {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tollgate-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        target.path_prefix(),
        check.path,
        target.authority
    );
    Ok(ask(gateway, &target.endpoint, &request, tenant, check.timeout).await?.head.status)
}
