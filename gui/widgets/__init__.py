"""Small building blocks of the pages; they know nothing of projects, runs or the engine."""
