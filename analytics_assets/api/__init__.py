"""What programs read: promoted tables over HTTP, through a role that can only read."""
