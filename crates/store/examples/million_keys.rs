//! Measures what a million keys cost: `cargo run --release -p tollgate-store --example million_keys [COUNT]`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{
    BaseUrl, Counting, DisplayName, HeaderName, Key, KeyId, OnUnavailable, Plan, PlanId, PlanSlug, Service,
    ServiceId, ServiceLimits, ServiceSlug, Target, TargetId, Tenant, TenantId, TenantSlug, TimeZone,
    Timeouts,
};
use tollgate_core::snapshot::{Change, Snapshot};
use tollgate_core::{address::Reach, balance::Duty, problem::Problems};
use tollgate_store::Store;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        // In a process of its own, so that nothing of the filling is in its memory.
        ["load", path] => load(Path::new(path)).await,
        [] => fill_and_load(1_000_000).await,
        [count] => fill_and_load(count.parse()?).await,
        _ => Err("usage: million_keys [COUNT]".into()),
    }
}

async fn fill_and_load(count: u32) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tollgate.db");
    let store = Store::open(&path).await?;
    let started = Instant::now();
    fill(&store, count).await?;
    println!("{count} keys written in {:?}", started.elapsed());
    store.close().await;
    println!("database: {} MB; resident: {} MB", std::fs::metadata(&path)?.len() >> 20, resident_mb()?);
    let status = Command::new(std::env::current_exe()?).arg("load").arg(&path).status()?;
    if status.success() { Ok(()) } else { Err("loading failed".into()) }
}

async fn load(path: &Path) -> Outcome<()> {
    let store = Store::open(path).await?;
    let before_mb = resident_mb()?;
    let started = Instant::now();
    let mut batches = 0;
    load_each(&store, |_| batches += 1).await?;
    println!(
        "{batches} batches read without a snapshot in {:?}, {} ms of CPU so far",
        started.elapsed(),
        cpu_ms()?
    );

    let started = Instant::now();
    let mut loading: Result<Snapshot, Problems> = Ok(Snapshot::default());
    let revision = load_each(&store, |batch| {
        let taken = std::mem::replace(&mut loading, Ok(Snapshot::default()));
        loading = taken.and_then(|snapshot| snapshot.grown(&batch, 0));
    })
    .await?;
    let mut held = loading?.grown(&[], revision)?;
    println!(
        "{} hashes in a snapshot in {:?}, {} ms of CPU so far",
        held.key_hashes(),
        started.elapsed(),
        cpu_ms()?
    );
    println!("resident: {before_mb} MB before, {} MB after", resident_mb()?);

    let tenant = store.read().await?.tenant(&TenantSlug::parse("bench")?).await?.ok_or("no tenant")?.value;
    for _ in 0..3 {
        let started = Instant::now();
        let mut write = store.write(2).await?;
        let added = key(&tenant, rand_hash());
        write.insert_keys(std::slice::from_ref(&added)).await?;
        let next = held.with(&[Change::PutKey { key: added, before: None }], revision + 1)?;
        write.set_revision(revision + 1).await?;
        write.commit().await?;
        held = next;
        println!("one key added in {:?}", started.elapsed());
    }
    Ok(())
}

/// Takes all batches; the revision that they are of.
async fn load_each(store: &Store, mut take: impl FnMut(Vec<Change>)) -> Outcome<u64> {
    let (batches, mut arriving) = tokio::sync::mpsc::channel(1);
    let (position, ()) = tokio::join!(store.load(batches), async {
        while let Some(batch) = arriving.recv().await {
            take(batch);
        }
    });
    Ok(position?.revision)
}

async fn fill(store: &Store, count: u32) -> Outcome<()> {
    let name = DisplayName::parse("Bench")?;
    let tenant = Tenant {
        id: TenantId(Uuid::now_v7()),
        slug: TenantSlug::parse("bench")?,
        name: name.clone(),
        time_zone: TimeZone::UTC,
        limits: Vec::new(),
    };
    let plan = Plan {
        id: PlanId(Uuid::now_v7()),
        tenant: tenant.id,
        slug: PlanSlug::parse("basic")?,
        name: name.clone(),
        limits: Vec::new(),
        concurrency: None,
        counting: Counting::default(),
        on_unavailable: OnUnavailable::default(),
    };
    let url = BaseUrl::parse("http://upstream.example")?;
    let service = Service {
        id: ServiceId(Uuid::now_v7()),
        tenant: tenant.id,
        slug: ServiceSlug::parse("api")?,
        name,
        auth_header: HeaderName::parse("X-API-Key")?,
        targets: vec![Target {
            id: TargetId(Uuid::now_v7()),
            url,
            weight: 1,
            duty: Duty::Serving,
            reach: Reach::Public,
        }],
        timeouts: Timeouts::default(),
        max_body_bytes: None,
        jwt: Vec::new(),
        limits: ServiceLimits::default(),
        traffic: Box::default(),
    };
    let mut write = store.write(1).await?;
    write.insert_tenant(&tenant).await?;
    write.insert_plan(&plan).await?;
    write.insert_service(&service).await?;
    let keys: Vec<Key> =
        (0..count).map(|_| Key { plan: Some(plan.id), ..key(&tenant, rand_hash()) }).collect();
    for chunk in keys.chunks(10_000) {
        write.insert_keys(chunk).await?;
    }
    Ok(write.commit().await?)
}

fn rand_hash() -> KeyHash {
    KeyHash::of(Uuid::now_v7().as_bytes())
}

fn key(tenant: &Tenant, hash: KeyHash) -> Key {
    let id = KeyId(Uuid::now_v7());
    Key {
        id,
        tenant: tenant.id,
        name: DisplayName::parse(&format!("key {id}")).unwrap_or_else(|_| tenant.name.clone()),
        hash,
        prefix: "tg_abcdef".into(),
        plan: None,
        consumer: None,
        services: None,
        scope: None,
        limits: Vec::new(),
        expires_at_secs: None,
        subscribed_at_secs: 1,
        retired: Vec::new(),
    }
}

/// User and system time of this process, in clock ticks of 10 ms.
fn cpu_ms() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? * 10)
}

fn resident_mb() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib >> 10)
}
