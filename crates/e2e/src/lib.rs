//! End-to-end tests of the carboy command.
