//! A room for each kind of namespace.
