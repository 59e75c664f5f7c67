//! /proc and /sys text as typed facts.
