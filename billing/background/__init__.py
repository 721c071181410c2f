"""Slow work in the background: jobs, their worker, and what a machine cannot do for the moment."""
