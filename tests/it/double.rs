//! The double itself: its limits, its TLS, its mischief.
