"""Monthly indicators of Mexican banks: from workbooks to a wide table and a star, and across."""
