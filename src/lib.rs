#![doc = include_str!("README.md")]

pub mod admission;
pub mod audit;
pub mod cel;
pub mod cli;
pub mod controller;
pub mod images;
pub mod json;
pub mod ledger;
pub mod policy;
pub mod schema;
pub mod server;
pub mod telemetry;
