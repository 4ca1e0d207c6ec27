"""What the frozen backbone sees in each picture, computed once and kept."""
