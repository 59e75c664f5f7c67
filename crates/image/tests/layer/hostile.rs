//! Layers that try to reach what is outside of them, and names that only look like whiteouts.
