//! A container's life: plan, apply, supervise, clean up.
