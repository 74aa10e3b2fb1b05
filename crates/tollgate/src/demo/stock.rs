//! An invented stock price: the same for the same ticker, always.

use axum::Json;
use axum::extract::Query;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    ticker: String,
}

#[derive(Serialize)]
pub struct Quote {
    ticker: String,
    price: f64,
    currency: &'static str,
}

pub async fn price(Query(Asked { ticker }): Query<Asked>) -> Result<Json<Quote>, (StatusCode, &'static str)> {
    let ticker = ticker.to_ascii_uppercase();
    let is_ticker = (1..=10).contains(&ticker.len())
        && ticker.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if !is_ticker {
        return Err((StatusCode::BAD_REQUEST, "Name a ticker: /api/v1/stock-price?ticker=ACME\n"));
    }
    let mixed = ticker.bytes().fold(7u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let cents = 1_000 + mixed % 90_000;
    Ok(Json(Quote { ticker, price: f64::from(cents) / 100.0, currency: "USD" }))
}
