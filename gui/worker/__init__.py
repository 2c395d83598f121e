"""The engine's processes as the window sees them: commands out, events in."""
