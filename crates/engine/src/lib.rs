//! What exists, and the operations on it.
