"""How a pre-trained backbone is adapted: one file per method behind one protocol."""
