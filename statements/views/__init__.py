"""The PI portal: what PIs and their delegates see, one module for each kind of page."""
