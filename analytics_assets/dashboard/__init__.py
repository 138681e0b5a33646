"""What is promoted, as pages for people: production as its reader sees it, and nothing else."""
