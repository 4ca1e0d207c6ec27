"""What is wrong with a folder of photographs: files, classes, duplicates and leaks."""
