//! OCI documents: parse and check.
