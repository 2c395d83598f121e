"""From files to pixels: reading folders, label sheets and images, and the simulated sample study."""
