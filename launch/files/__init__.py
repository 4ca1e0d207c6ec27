"""What travels: the code, data sets and results, between this machine and a store."""
