"""Files that the window reads at run time: icons, themes, help and translations."""
