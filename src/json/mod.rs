//! Borrowed JSON documents: text in, nodes out. Nothing here knows of CEL or Kubernetes.
