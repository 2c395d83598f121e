"""From files to pixels: folders, label sheets, images, and the simulated sample study."""
