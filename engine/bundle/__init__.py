"""What an exported classifier is: a folder that can be read, checked and applied anywhere."""
