"""The window onto the engine: pages, widgets and plots."""
