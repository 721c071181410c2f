"""Everything on disk: files as received and as made, written whole, named safely, read from pipes."""
