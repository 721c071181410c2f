"""What a later version of the program would bring: an app with migrations that the released ones do not have."""
