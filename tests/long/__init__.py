"""Tests that run for minutes or hours, each started by hand; not part of the default suite."""
