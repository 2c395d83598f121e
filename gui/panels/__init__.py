"""One panel per stage of the work: it shows the session and asks it for changes."""
