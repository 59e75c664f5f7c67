//! All that runs between clone3 and execve.
