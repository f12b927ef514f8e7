#![doc = include_str!("README.md")]

pub mod cel;
pub mod json;
pub mod ledger;
pub mod policy;
pub mod server;
pub mod telemetry;
