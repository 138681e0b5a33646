"""What the pipeline costs, against a script that does the same work without any of its promises."""
