//! The expression language: text in, value or diagnostic out. Nothing here knows of Kubernetes, time, threads or the network.
