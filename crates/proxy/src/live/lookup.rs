//! What a worker knows of a request's service, looked up once something asks for it: most requests need none of it.

use std::cell::OnceCell;
use std::rc::Rc;

use tollgate_core::resource::{ServiceId, TenantId};

use super::LocalService;
use crate::worker::Worker;

pub(crate) struct Lookup<'w> {
    worker: &'w Worker,
    tenant: TenantId,
    service: ServiceId,
    live: OnceCell<Rc<LocalService>>,
}

impl<'w> Lookup<'w> {
    pub const fn new(worker: &'w Worker, tenant: TenantId, service: ServiceId) -> Self {
        Self { worker, tenant, service, live: OnceCell::new() }
    }

    pub fn get(&self) -> &LocalService {
        self.live.get_or_init(|| self.worker.live(self.tenant, self.service))
    }
}
