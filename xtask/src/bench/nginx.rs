//! nginx in its roles: the upstream of every contender, a bare peer, and a gateway scripted in Lua.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::client::free_address;
use super::load::KEY_PREFIX;
use super::peers::{Server, WORKERS};
use super::process::Process;
use crate::tools::{NGINX_LUA_MODULE, find_program};

/// The body that the upstream answers with.
const BODY_BYTES: usize = 121;

/// nginx as the upstream: one worker that answers from memory, bound to the first core for everybody alike,
/// so that the scheduler's choice of a core is no difference between contenders. It listens at two addresses, for those
/// who have targets to choose among.
pub fn upstream(directory: &Path) -> Result<Server> {
    let address = free_address()?;
    let second = beside(address);
    let body = "x".repeat(BODY_BYTES);
    let http = format!(
        "access_log off;
        server {{ listen {address}; listen {second}; location / {{ default_type text/plain; return 200 '{body}'; }} }}"
    );
    let main = "worker_processes 1; worker_cpu_affinity 01;";
    start("upstream", directory, address, main, &http)
}

/// The other address that an upstream listens at.
pub fn second_address(upstream: &Server) -> SocketAddr {
    beside(upstream.address)
}

/// All of 127.0.0.0/8 is the machine itself.
fn beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), address.port())
}

/// nginx as a proxy with nothing on, as one would tune it: kept-alive connections on both sides, no log.
pub fn bare(directory: &Path, upstream: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let http = format!("access_log off; {}", proxy(address, upstream, ""));
    start("nginx", directory, address, &workers(), &http)
}

/// The same, passing bodies on as they come, of any size.
pub fn unbuffered(directory: &Path, upstream: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let unbuffered = "proxy_buffering off; proxy_request_buffering off; client_max_body_size 0;";
    let http = format!("access_log off; {}", proxy(address, upstream, unbuffered));
    start("nginx", directory, address, &workers(), &http)
}

/// nginx as a gateway in Lua: a key looked up in a shared dict, two counters, identity headers to the
/// upstream, limit headers to the client, and a JSON access log, buffered as Tollgate's is.
pub fn lua(directory: &Path, upstream: SocketAddr, keys: usize) -> Result<(Server, PathBuf)> {
    let address = free_address()?;
    let access_log = directory.join("access.log");
    let log = access_log.display();
    let http = format!(
        r#"
        log_format gateway escape=json '{{"timestamp":"$time_iso8601","method":"$request_method","path":"$uri",'
            '"status":$status,"duration":$request_time,"upstream":"$upstream_response_time","bytes":$bytes_sent,'
            '"client_ip":"$remote_addr","request_id":"$request_id","consumer":"$consumer"}}';
        access_log {log} gateway buffer=64k flush=1s;
        lua_shared_dict keys 64m;
        lua_shared_dict counters 64m;
        init_by_lua_block {{
            for i = 0, {keys} - 1 do ngx.shared.keys:set("{KEY_PREFIX}" .. i, "consumer-" .. i) end
        }}
        {}"#,
        proxy(address, upstream, LUA_LOCATION)
    );
    let modules = Path::new(NGINX_LUA_MODULE).parent().context("the module's directory")?;
    let main = format!(
        "load_module {0}/ndk_http_module.so; load_module {0}/ngx_http_lua_module.so; {1}",
        modules.display(),
        workers()
    );
    Ok((start("nginx + Lua", directory, address, &main, &http)?, access_log))
}

const LUA_LOCATION: &str = r#"
    set $consumer "";
    proxy_set_header X-API-Key "";
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Organization-ID $consumer;
    proxy_set_header X-Plan-Tier basic;
    proxy_set_header X-Forwarded-For $remote_addr;
    add_header X-Request-ID $request_id;
    access_by_lua_block {
        local key = ngx.var.http_x_api_key
        if not key then return ngx.exit(401) end
        local consumer = ngx.shared.keys:get(key)
        if not consumer then return ngx.exit(403) end
        local counters, now, limit = ngx.shared.counters, ngx.time(), 1000000000
        local minute = counters:incr("m:" .. consumer .. ":" .. math.floor(now / 60), 1, 0, 120)
        local day = counters:incr("d:" .. consumer .. ":" .. math.floor(now / 86400), 1, 0, 172800)
        if minute > limit or day > limit then return ngx.exit(429) end
        ngx.var.consumer = consumer
        ngx.ctx.minute, ngx.ctx.day = limit - minute, limit - day
    }
    header_filter_by_lua_block {
        local header = ngx.header
        header["X-RateLimit-Limit-Minute"] = 1000000000
        header["X-RateLimit-Remaining-Minute"] = ngx.ctx.minute
        header["X-RateLimit-Limit-Day"] = 1000000000
        header["X-RateLimit-Remaining-Day"] = ngx.ctx.day
    }
"#;

fn workers() -> String {
    format!("worker_processes {WORKERS};")
}

/// A server that passes everything on over kept-alive connections.
fn proxy(address: SocketAddr, upstream: SocketAddr, location: &str) -> String {
    format!(
        r#"
        upstream backend {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
        server {{
            listen {address} reuseport;
            location / {{
                proxy_pass http://backend;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                {location}
            }}
        }}"#
    )
}

fn start(name: &str, directory: &Path, address: SocketAddr, main: &str, http: &str) -> Result<Server> {
    let root = directory.display();
    // Started by root, workers would become `nobody`, who may not write below our temporary directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = format!(
        "{main} {user}
        daemon off;
        pid {root}/nginx.pid;
        error_log stderr warn;
        events {{ worker_connections 20000; }}
        http {{
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            keepalive_requests 1000000000;
            keepalive_timeout 300s;
            {http}
        }}\n"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).context("cannot write nginx.conf")?;
    let program = find_program("nginx").context("nginx is not installed")?;
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(&file).stdout(Stdio::null());
    let mut process = Process::spawn(name, &mut command, directory)?;
    process.await_listening(address, directory)?;
    Ok(Server { process, address })
}
