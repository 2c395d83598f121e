"""Pre-trained networks: built by their libraries, fed with weights, cut where a new head goes."""
