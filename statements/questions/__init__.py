"""Questions in the portal: about the lines of statements, with their threads, and mailed both ways."""
