#![doc = include_str!("README.md")]

pub mod cel;
pub mod json;
pub mod policy;
