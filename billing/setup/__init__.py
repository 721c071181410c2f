"""What an institution sets up: sources, the policy, its people and funds, and passwords."""
