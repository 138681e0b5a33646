"""What runs when: partitions that are behind, jobs, schedules and sensors."""
