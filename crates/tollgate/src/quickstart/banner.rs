//! What a quickstart prints: what runs where, and three lines to paste.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::AccessLog;
use crate::serve::AdminUrl;

pub struct Places<'a> {
    pub proxy: SocketAddr,
    pub admin: AdminUrl,
    pub demo: SocketAddr,
    pub data_dir: &'a Path,
    pub access_log: &'a AccessLog,
}

pub fn text(places: &Places<'_>) -> String {
    let Places { proxy, admin, demo, data_dir, access_log } = places;
    let data_dir = data_dir.display();
    let access_log = match access_log {
        AccessLog::Off => "off".to_owned(),
        AccessLog::Stdout => "standard output".to_owned(),
        AccessLog::File(path) => path.display().to_string(),
    };
    format!(
        "
  proxy           http://{proxy}
  admin API       {admin}/docs    demo user: testuser / password
  demo upstream   http://{demo}
  data            {data_dir}
  access log      {access_log}

Try it: a request with the demo key, whose plan has 5 a minute and 100 a month

  curl -i -H 'X-API-Key: secret_key_12345' http://{proxy}/test-tenant/test-api/get

Six at once: the last are refused with 429

  for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{{http_code}}\\n' -H 'X-API-Key: secret_key_12345' http://{proxy}/test-tenant/test-api/get; done

What the key has used

  curl -s -H 'X-API-Key: secret_key_12345' http://{proxy}/-/usage

Ctrl-C ends it; the data stays for the next time."
    )
}
